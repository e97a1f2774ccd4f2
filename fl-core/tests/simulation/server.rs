//! The server's shell: feeds the room, carries out its effects, keeps what is stored.

use std::sync::Arc;

use fl_core::codec::{
    CLIENT_TEXT_LIMIT, FRAME_LIMIT, decode_binary, decode_text, encode_binary, encode_text,
};
use fl_core::protocol::{ClientHeader, ClientMessage, ModelInfo, ServerHeader, ServerMessage};
use fl_core::replay::RecordedUpdate;
use fl_core::room::{Activity, ConnectionId, Effect, Hello, Room, RoomState};
use rand::RngExt;

use super::{Event, Frame, Simulation, initial};

impl Simulation {
    pub(super) fn server_reads(&mut self, link: ConnectionId, frame: Frame) {
        match frame {
            Frame::Text(text) => match decode_text(&text, CLIENT_TEXT_LIMIT).unwrap() {
                ClientMessage::Hello {
                    protocol,
                    name,
                    resume,
                    ..
                } => {
                    let token = format!("token {}", self.rng.random::<u64>());
                    self.room.hello(
                        link,
                        Hello {
                            protocol,
                            name,
                            resume,
                        },
                        token,
                        self.now,
                    );
                }
                message => self.room.message(link, message, self.now),
            },
            // It belongs into the next round.
            frame if self.room.has_to_wait(link) => {
                self.early.push((link, frame));
                return;
            }
            Frame::Binary(bytes) => {
                let (ClientHeader::Report(report), body) =
                    decode_binary(&bytes, FRAME_LIMIT).unwrap();
                let counts = self
                    .room
                    .report(link, &report, &body, bytes.len(), self.now);
                if let Some(counted) = counts
                    && self.world.record
                {
                    let attempt = (counted.round, counted.attempt);
                    let update = RecordedUpdate {
                        client: counted.client,
                        report,
                        body,
                    };
                    self.disk.updates.entry(attempt).or_default().push(update);
                }
            }
        }
        self.settle_server();
    }

    pub(super) fn settle_server(&mut self) {
        for effect in self.room.take_effects() {
            self.server_acts(effect);
        }
        let due = self
            .early
            .iter()
            .position(|(link, _)| !self.room.has_to_wait(*link));
        if let Some(place) = due {
            let (link, frame) = self.early.remove(place);
            self.server_reads(link, frame);
        }
        if let Some(at) = self.room.next_tick().map(|at| at.max(self.now + 1))
            && at != self.room_tick
        {
            self.room_tick = at;
            self.schedule(at - self.now, Event::RoomTick);
        }
        let finished = self.room.global().0 >= self.world.settings.round.rounds;
        if finished && self.finished_at.is_none() {
            self.finished_at = Some(self.now);
        }
    }

    fn server_acts(&mut self, effect: Effect) {
        match effect {
            Effect::Send(link, message) => {
                self.transmit(
                    link,
                    Frame::Text(encode_text(&message).into()),
                    Event::ToClient,
                );
            }
            Effect::SendGlobal(link) => {
                let frame = self.global_frame();
                self.transmit(link, frame, Event::ToClient);
            }
            Effect::Broadcast(message) => {
                self.broadcast(&Frame::Text(encode_text(&message).into()))
            }
            Effect::BroadcastGlobal => {
                let frame = self.global_frame();
                self.broadcast(&frame);
            }
            Effect::Close(link, fault) => {
                let refused = Frame::Text(encode_text(&ServerMessage::Refused(fault)).into());
                self.transmit(link, refused, Event::ToClient);
                self.room.disconnected(link, self.now);
                let after = self.order(link);
                if let Some(&(client, _)) = self.links.get(&link) {
                    self.schedule(after, Event::ClientSeesEnd(client, link));
                }
            }
            Effect::Store(record, adapter, optimizer) => {
                self.pending = Some((record, adapter, optimizer));
                self.schedule(5, Event::Stored);
            }
            Effect::StoreAbandoned(record) => self.disk.history.push(record),
            Effect::StoreMember(record) => drop(self.disk.members.insert(record.id, record)),
            Effect::ForgetMember(id) => drop(self.disk.members.remove(&id)),
            Effect::StoreActivity(activity) => self.disk.activity = Some(activity),
            Effect::Collect { .. } => unreachable!("there is one process"),
        }
    }

    fn global_frame(&self) -> Frame {
        let (round, adapter, hash) = self.room.global();
        Frame::Binary(encode_binary(&ServerHeader::Global { round, hash }, adapter).into())
    }

    fn broadcast(&mut self, frame: &Frame) {
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            self.transmit(link, frame.clone(), Event::ToClient);
        }
    }

    pub(super) fn restart(&mut self) {
        for (link, (client, _)) in std::mem::take(&mut self.links) {
            let after = self.rng.random_range(1..500);
            self.schedule(after, Event::ClientSeesEnd(client, link));
        }
        self.pending = None;
        self.early.clear();
        let rounds = self.disk.global.as_ref().map_or(0, |(round, ..)| *round);
        self.disk.updates.retain(|(round, _), _| *round <= rounds);
        let begin = || (0, Arc::new(initial()), Arc::default());
        let (completed, global, optimizer) = self.disk.global.clone().unwrap_or_else(begin);
        self.room = Room::restore(RoomState {
            code: "ROOM42".into(),
            settings: self.world.settings.clone(),
            model: ModelInfo::default(),
            global,
            optimizer,
            completed,
            activity: self.disk.activity.unwrap_or(Activity::Running),
            members: self.disk.members.values().cloned().collect(),
            history: self.disk.history.clone(),
            evaluations: Vec::new(),
        });
    }
}
