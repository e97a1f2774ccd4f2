//! Following a room's leader: sockets are here, and the sum of the updates that come over them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::codec;
use fl_core::error::Fault;
use fl_core::protocol::{Report, ServerHeader};
use fl_core::room::{ConnectionId, Part};
use futures_util::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::bridge::{Bridge, Ended};
use super::lease::Holder;
use super::link::{self, Down, Receiving, SILENCE, Sending, Stuck, Up};
use crate::in_flight::Share;
use crate::outbox::{Outbox, Outgoing};
use crate::room_actor::{Input, SLOW, heavily};
use crate::secrets;

/// Between two tries to open the link.
const AGAIN: Duration = Duration::from_millis(250);
/// A link that nobody has wanted anything of for so long ends.
const IDLE: Duration = Duration::from_secs(30);

/// An update that waits for the leader's word.
struct Pending {
    report: Box<Report>,
    update: Adapter,
    /// Given back with it.
    _share: Option<Share>,
}

/// Who waits for an answer.
enum Asked {
    Command(oneshot::Sender<Result<(), Fault>>),
    Inspect(oneshot::Sender<String>),
}

/// The newest global adapter.
struct Global {
    round: u32,
    hash: AdapterHash,
    adapter: Arc<Adapter>,
    frame: Bytes,
}

/// Why a link ends.
struct Broken(String);

impl From<Stuck> for Broken {
    fn from(_: Stuck) -> Self {
        Self("NATS takes no messages".into())
    }
}

impl From<String> for Broken {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

struct Following<'a> {
    bridge: &'a Bridge,
    sending: Sending<Up>,
    receiving: Receiving<Down>,
    outboxes: HashMap<ConnectionId, Outbox>,
    global: Global,
    part: Part,
    pending: HashMap<u64, Pending>,
    asked: HashMap<u64, Asked>,
    next: u64,
}

impl Bridge {
    pub(super) async fn follow(
        &self,
        holder: Holder,
        first: &mut Option<Input>,
        inputs: &mut mpsc::Receiver<Input>,
    ) -> Ended {
        let opened = timeout(SILENCE, self.opened(holder)).await;
        let opened = opened.unwrap_or_else(|_| Err("its leader does not answer".into()));
        let (following, subscriber) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                tracing::debug!(room = self.room, error, "the room cannot be followed");
                return Ended::Lost;
            }
        };
        tracing::info!(
            room = self.room,
            leader = holder.process.0,
            "following the room"
        );
        let mut following = following;
        let ended = following.serve(subscriber, first, inputs).await;
        let _ = following.sending.send(Up::Ended);
        // With the outboxes, the room's connections here end.
        match ended {
            Ok(ended) => ended,
            Err(Broken(reason)) => {
                tracing::warn!(room = self.room, reason, "the link to its leader is lost");
                Ended::Lost
            }
        }
    }

    /// Opens the link to a room's leader.
    async fn opened(&self, holder: Holder) -> Result<(Following<'_>, Subscriber), String> {
        let link = u64::from(secrets::number().map_err(|fault| fault.message)?);
        let client = &self.cluster.0.client;
        let subscriber = client.subscribe(link::down(&self.room, holder, link)).await;
        let mut subscriber = subscriber.map_err(|error| error.to_string())?;
        let sending = Sending::start(client.clone(), link::up(&self.room, holder), link);
        let process = self.cluster.process();
        let mut receiving = Receiving::from(0);
        let (round, hash) = loop {
            let sent = sending.send(Up::Open { process });
            sent.map_err(|Stuck| "NATS takes no messages")?;
            let message = tokio::select! {
                message = subscriber.next() => message.ok_or("the subscription ended")?,
                () = sleep(AGAIN) => continue,
            };
            let message = link::read::<Down>(&message.payload).ok_or("it speaks otherwise")?;
            if !receiving.follows(&message) {
                return Err("a message is missing".into());
            }
            match message.what {
                Some(Down::Opened { round, hash }) => break (round, hash),
                None => {}
                Some(_) => return Err("it did not open the link".into()),
            }
        };
        let global = self.global(round, hash).await?;
        let part = Part::new(self.settings.clone(), Arc::clone(&global.adapter));
        let following = Following {
            bridge: self,
            sending,
            receiving,
            outboxes: HashMap::new(),
            global,
            part,
            pending: HashMap::new(),
            asked: HashMap::new(),
            next: 0,
        };
        Ok((following, subscriber))
    }

    /// Fetches a global adapter and encodes it, once for all connections.
    async fn global(&self, round: u32, hash: AdapterHash) -> Result<Global, String> {
        let adapter = self.cluster.adapter(&self.room, round, hash).await?;
        let header = ServerHeader::Global { round, hash };
        let frame = codec::encode_binary(&header, &adapter).into();
        Ok(Global {
            round,
            hash,
            adapter: Arc::new(adapter),
            frame,
        })
    }
}

impl Following<'_> {
    async fn serve(
        &mut self,
        mut subscriber: Subscriber,
        first: &mut Option<Input>,
        inputs: &mut mpsc::Receiver<Input>,
    ) -> Result<Ended, Broken> {
        if let Some(first) = first.take() {
            self.input(first)?;
        }
        let stop = self.bridge.workshop.stop.clone();
        let mut wanted = Instant::now();
        let mut look = interval(AGAIN);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Messages first: those that wait here are signs of life.
                biased;
                message = subscriber.next() => {
                    let message = message.ok_or_else(|| "the subscription ended".to_owned())?;
                    if self.message(&message.payload).await? {
                        return Ok(Ended::Lost);
                    }
                }
                () = stop.cancelled() => return Ok(Ended::Stopped),
                () = sleep_until(self.receiving.gone_at()) => {
                    return Err(Broken("its leader is silent".into()));
                }
                input = inputs.recv() => match input {
                    Some(input) => self.input(input)?,
                    None => return Ok(Ended::Stopped),
                },
                _ = look.tick() => {
                    if !self.outboxes.is_empty() || !self.asked.is_empty() {
                        wanted = Instant::now();
                    } else if wanted.elapsed() > IDLE {
                        return Ok(Ended::Idle);
                    }
                }
            }
        }
    }

    fn input(&mut self, input: Input) -> Result<(), Broken> {
        self.next += 1;
        let id = self.next;
        let up = match input {
            Input::Join {
                connection,
                hello,
                outbox,
            } => {
                self.outboxes.insert(connection, outbox);
                Up::Join { connection, hello }
            }
            Input::Message {
                connection,
                message,
            } => Up::Message {
                connection,
                message,
            },
            Input::Report {
                connection,
                report,
                adapter,
                bytes,
                share,
                ..
            } => {
                let part = &self.part;
                let checked = heavily(&self.global.adapter, || part.checked(&report, &adapter));
                let fault = checked.as_ref().err().cloned();
                if let Ok(update) = checked {
                    let (report, _share) = (report.clone(), share);
                    let pending = Pending {
                        report,
                        update,
                        _share,
                    };
                    self.pending.insert(id, pending);
                }
                Up::Report {
                    id,
                    connection,
                    report,
                    bytes,
                    fault,
                }
            }
            Input::Gone { connection } => {
                self.outboxes.remove(&connection);
                Up::Gone { connection }
            }
            Input::Command { command, answer } => {
                self.asked.insert(id, Asked::Command(answer));
                Up::Command { id, command }
            }
            Input::Inspect { answer } => {
                self.asked.insert(id, Asked::Inspect(answer));
                Up::Inspect { id }
            }
            Input::Global { answer } => {
                let Global {
                    round,
                    adapter,
                    hash,
                    ..
                } = &self.global;
                let _ = answer.send((*round, Arc::clone(adapter), *hash));
                return Ok(());
            }
            // These are for a room's task only.
            Input::Evaluated(_) | Input::Elsewhere { .. } => return Ok(()),
        };
        Ok(self.sending.send(up)?)
    }

    /// Takes a message of the leader; true when it leads no more.
    async fn message(&mut self, bytes: &Bytes) -> Result<bool, Broken> {
        let message = link::read::<Down>(bytes);
        let message = message.ok_or_else(|| "its leader speaks otherwise".to_owned())?;
        if !self.receiving.follows(&message) {
            return Err(Broken("a message is missing".into()));
        }
        let payload = message.payload;
        match message.what {
            None | Some(Down::Opened { .. }) => {}
            Some(Down::Ended) => return Ok(true),
            Some(Down::Send { connection }) => {
                self.send(connection, Outgoing::Text(text(payload)?))?;
            }
            Some(Down::SendAll) => self.send_all(&Outgoing::Text(text(payload)?))?,
            Some(Down::SendGlobal { connection }) => {
                let frame = self.global.frame.clone();
                self.send(connection, Outgoing::Binary(frame))?;
            }
            Some(Down::Global { round, hash }) => {
                self.global = self.bridge.global(round, hash).await?;
                let adapter = Arc::clone(&self.global.adapter);
                self.part = Part::new(self.bridge.settings.clone(), adapter);
                let frame = self.global.frame.clone();
                self.send_all(&Outgoing::Binary(frame))?;
            }
            Some(Down::Close { connection, fault }) => {
                if let Some(outbox) = self.outboxes.remove(&connection) {
                    outbox.refuse(fault);
                }
            }
            Some(Down::Verdict { id, client }) => {
                if let (Some(pending), Some(client)) = (self.pending.remove(&id), client) {
                    let (part, adapter) = (&mut self.part, &self.global.adapter);
                    let add = || part.add(client, &pending.report, &pending.update);
                    if let Err(error) = heavily(adapter, add) {
                        tracing::warn!(room = self.bridge.room, %error, "an update is left out");
                    }
                }
            }
            Some(Down::Collect { round, attempt }) => self.hand_over(round, attempt),
            Some(Down::Done { id, result }) => {
                if let Some(Asked::Command(answer)) = self.asked.remove(&id) {
                    let _ = answer.send(result);
                }
            }
            Some(Down::Inspected { id, text }) => {
                if let Some(Asked::Inspect(answer)) = self.asked.remove(&id) {
                    let cluster = self.bridge.cluster.clone();
                    tokio::spawn(async move {
                        let placed = cluster.placed(&text, payload, usize::MAX).await;
                        let text = placed.ok().map(|bytes| String::from_utf8(bytes.into()));
                        if let Some(Ok(text)) = text {
                            let _ = answer.send(text);
                        }
                    });
                }
            }
        }
        Ok(false)
    }

    /// Sends the leader what was summed.
    fn hand_over(&self, round: u32, attempt: u32) {
        let partial = heavily(&self.global.adapter, || {
            self.part.partial(round, attempt).encode()
        });
        let (cluster, sending) = (self.bridge.cluster.clone(), self.sending.clone());
        let room = self.bridge.room.clone();
        tokio::spawn(async move {
            match cluster.place(partial).await {
                Ok((sum, payload)) => drop(sending.send_with(Up::Partial { sum }, payload)),
                Err(error) => tracing::warn!(room, error, "a partial sum found no place"),
            }
        });
    }

    fn send(&mut self, connection: ConnectionId, outgoing: Outgoing) -> Result<(), Broken> {
        let outbox = self.outboxes.get(&connection);
        match outbox.is_some_and(|outbox| outbox.send(outgoing).is_err()) {
            true => self.drop_slow(connection),
            false => Ok(()),
        }
    }

    fn send_all(&mut self, outgoing: &Outgoing) -> Result<(), Broken> {
        let behind = |(id, outbox): (&ConnectionId, &Outbox)| {
            outbox.send(outgoing.clone()).is_err().then_some(*id)
        };
        let slow: Vec<ConnectionId> = self.outboxes.iter().filter_map(behind).collect();
        slow.into_iter()
            .try_for_each(|connection| self.drop_slow(connection))
    }

    fn drop_slow(&mut self, connection: ConnectionId) -> Result<(), Broken> {
        if let Some(outbox) = self.outboxes.remove(&connection) {
            outbox.cut(Fault::overloaded(SLOW));
        }
        Ok(self.sending.send(Up::Gone { connection })?)
    }
}

fn text(payload: Bytes) -> Result<axum::extract::ws::Utf8Bytes, Broken> {
    payload
        .try_into()
        .map_err(|_| Broken("a text of its leader is none".into()))
}
