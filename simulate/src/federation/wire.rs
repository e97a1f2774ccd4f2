//! The wire between a room and its clients: every frame is encoded, counted and decoded.

use std::sync::Arc;

use fl_core::codec::{
    CLIENT_TEXT_LIMIT, CodecError, FRAME_LIMIT, decode_binary, decode_text, encode_binary,
    encode_text,
};
use fl_core::error::Fault;
use fl_core::protocol::{ClientHeader, ClientMessage, ServerHeader, ServerMessage};
use fl_core::room::{ConnectionId, Effect, Hello};
use fl_core::session::{Action, Notice, Session, SessionConfig};
use serde::{Deserialize, Serialize};

use super::{Federation, Member};
use crate::chance::{Chance, stream};
use crate::error::{Result, SimulateError};

/// Bytes that went over the wire, WebSocket's own not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    /// From the clients.
    pub(crate) up: u64,
    /// To the clients.
    pub(crate) down: u64,
    /// Of the first, the frames of updates.
    pub(crate) updates: u64,
    /// How many updates these are.
    pub(crate) update_count: u64,
}

#[derive(Clone)]
pub(super) enum Payload {
    Text(String),
    Binary(Arc<[u8]>),
}

impl Payload {
    fn bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Binary(bytes) => bytes.len() as u64,
        }
    }
}

/// A frame under way on a connection.
pub(super) enum Frame {
    Up(ConnectionId, Payload),
    Down(ConnectionId, Payload),
}

impl Federation {
    /// A client that is not connected yet; `resume` is the token of its earlier place.
    pub(super) fn add(&mut self, client: u32, texts: (u32, u32), resume: Option<String>) {
        let config = SessionConfig {
            room: self.room.code().into(),
            name: format!("client {client}"),
            resume,
        };
        let rng = stream(self.world.seed, Chance::Connection, client.into());
        self.members.push(Member {
            client,
            session: Session::new(config, rng, self.now),
            link: None,
            texts,
            order: None,
        });
        self.act(self.members.len() - 1);
    }

    /// Opens a connection again.
    pub(super) fn connect(&mut self, member: usize) {
        let session = &mut self.members[member].session;
        let due = session.next_tick().unwrap_or_default();
        session.tick(due.max(self.now));
        self.act(member);
    }

    /// Breaks a connection: both sides see it.
    pub(super) fn cut(&mut self, member: usize) {
        let state = &mut self.members[member];
        let Some(link) = state.link.take() else {
            return;
        };
        state.session.closed(self.now);
        state.order = None;
        self.links.remove(&link);
        self.room.disconnected(link, self.now);
        self.act(member);
    }

    /// Lets every frame arrive, and those that follow from them.
    pub(super) fn deliver(&mut self) -> Result<()> {
        loop {
            self.settle();
            let Some(frame) = self.frames.pop_front() else {
                return Ok(());
            };
            match frame {
                Frame::Up(link, payload) if self.links.contains_key(&link) => {
                    self.traffic.up += payload.bytes();
                    self.server_reads(link, payload)?;
                }
                Frame::Down(link, payload) => {
                    if let Some(&member) = self.links.get(&link) {
                        self.traffic.down += payload.bytes();
                        self.client_reads(member, &payload);
                    }
                }
                Frame::Up(..) => {}
            }
        }
    }

    fn server_reads(&mut self, link: ConnectionId, payload: Payload) -> Result<()> {
        let (room, now) = (&mut self.room, self.now);
        match payload {
            Payload::Text(text) => match decode_text(&text, CLIENT_TEXT_LIMIT).map_err(wire)? {
                ClientMessage::Hello {
                    protocol,
                    name,
                    resume,
                    ..
                } => {
                    let hello = Hello {
                        protocol,
                        name,
                        resume,
                    };
                    let client = self
                        .links
                        .get(&link)
                        .map(|&member| self.members[member].client);
                    room.hello(link, hello, token(client.unwrap_or_default()), now);
                }
                message => room.message(link, message, now),
            },
            Payload::Binary(bytes) => {
                let (ClientHeader::Report(report), adapter) =
                    decode_binary(&bytes, FRAME_LIMIT).map_err(wire)?;
                self.traffic.updates += bytes.len() as u64;
                self.traffic.update_count += 1;
                room.report(link, &report, &adapter, bytes.len(), now);
            }
        }
        Ok(())
    }

    fn client_reads(&mut self, member: usize, payload: &Payload) {
        let session = &mut self.members[member].session;
        match payload {
            Payload::Text(text) => session.text(text, self.now),
            Payload::Binary(bytes) => session.binary(bytes, self.now),
        }
        self.act(member);
    }

    /// Carries out what a client's session asks for.
    pub(super) fn act(&mut self, member: usize) {
        loop {
            let actions = self.members[member].session.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.carry_out(member, action);
            }
        }
    }

    fn carry_out(&mut self, member: usize, action: Action) {
        let state = &mut self.members[member];
        match action {
            Action::Connect => {
                self.next_link += 1;
                let link = ConnectionId(self.next_link);
                self.links.insert(link, member);
                state.link = Some(link);
                state.session.opened();
            }
            Action::SendText(text) => self.sends(member, Payload::Text(text)),
            Action::SendBinary(bytes) => self.sends(member, Payload::Binary(bytes.into())),
            Action::Disconnect => self.cut(member),
            Action::Prepare(_) => {
                let (gold, unlabelled) = state.texts;
                state.session.prepared(gold, unlabelled);
            }
            Action::Work(order, _) => state.order = Some(order),
            Action::StopWork => state.order = None,
            Action::Notify(Notice::Receipt(receipt)) => {
                state.order = None;
                if receipt.fault.is_none() {
                    self.accepted.push(member);
                }
            }
            Action::Adopt(_) | Action::Notify(_) => {}
        }
    }

    fn sends(&mut self, member: usize, payload: Payload) {
        if let Some(link) = self.members[member].link {
            self.frames.push_back(Frame::Up(link, payload));
        }
    }

    /// Puts the frames of an effect on their way.
    pub(super) fn send(&mut self, effect: Effect) {
        match effect {
            Effect::Send(link, message) => self.down(link, text(&message)),
            Effect::SendGlobal(link) => {
                let frame = self.global_frame();
                self.down(link, frame);
            }
            Effect::Broadcast(message) => self.broadcast(&text(&message)),
            Effect::BroadcastGlobal => {
                let frame = self.global_frame();
                self.broadcast(&frame);
            }
            Effect::Close(link, fault) => self.close(link, fault),
            // The others are about what is stored.
            _ => {}
        }
    }

    fn close(&mut self, link: ConnectionId, fault: Fault) {
        self.down(link, text(&ServerMessage::Refused(fault)));
        self.room.disconnected(link, self.now);
    }

    fn down(&mut self, link: ConnectionId, payload: Payload) {
        self.frames.push_back(Frame::Down(link, payload));
    }

    fn broadcast(&mut self, payload: &Payload) {
        let links: Vec<ConnectionId> = self.links.keys().copied().collect();
        for link in links {
            self.down(link, payload.clone());
        }
    }

    fn global_frame(&self) -> Payload {
        let (round, adapter, hash) = self.room.global();
        let frame = encode_binary(&ServerHeader::Global { round, hash }, adapter);
        Payload::Binary(frame.into())
    }
}

/// The secret of a client's place; nobody is to be kept out of a simulation.
pub(super) fn token(client: u32) -> String {
    // As long as a server's.
    format!("{client:064}")
}

fn text(message: &ServerMessage) -> Payload {
    Payload::Text(encode_text(message))
}

fn wire(error: CodecError) -> SimulateError {
    SimulateError::Wire(error.to_string())
}
