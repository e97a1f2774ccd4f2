//! What leader and followers of a room say to each other, in order and without gaps.
//!
//! NATS delivers at most once. Every message has a number and silence is broken by empty ones, so
//! both ends notice what is missing; then the link has ended, and nothing is mended.

use std::marker::PhantomData;
use std::time::Duration;

use async_nats::Client;
use bytes::Bytes;
use fl_core::adapter::AdapterHash;
use fl_core::error::Fault;
use fl_core::protocol::{ClientId, ClientMessage, Report};
use fl_core::room::{ConnectionId, Hello, OwnerCommand, ProcessId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::TERM;
use super::lease::Holder;
use super::place::Place;

/// After so much silence something empty is sent.
const BEAT: Duration = Duration::from_millis(TERM.as_millis() as u64 / 4);
/// After so much silence the other end is gone.
pub(super) const SILENCE: Duration = Duration::from_millis(TERM.as_millis() as u64 * 3 / 4);
/// Messages that wait for NATS before the link has ended.
const QUEUE: usize = 4096;

/// From a follower to the leader.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Up {
    /// The link begins.
    Open { process: ProcessId },
    /// A connection said hello.
    Join {
        connection: ConnectionId,
        hello: Hello,
    },
    /// A text message.
    Message {
        connection: ConnectionId,
        message: ClientMessage,
    },
    /// An update that this process holds, and what is wrong with its matrices.
    Report {
        id: u64,
        connection: ConnectionId,
        report: Box<Report>,
        bytes: usize,
        fault: Option<Fault>,
    },
    /// A connection is gone.
    Gone { connection: ConnectionId },
    /// The owner's wish.
    Command { id: u64, command: OwnerCommand },
    /// What there is to know.
    Inspect { id: u64 },
    /// What was summed in an attempt at a round.
    Partial { sum: Place },
    /// The process follows no more.
    Ended,
}

/// From the leader to a follower. Texts for clients are the message's payload.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Down {
    /// The link has begun; the room's newest adapter is this one.
    Opened { round: u32, hash: AdapterHash },
    /// A text for one connection.
    Send { connection: ConnectionId },
    /// A text for every connection.
    SendAll,
    /// The newest adapter, for one connection.
    SendGlobal { connection: ConnectionId },
    /// A new adapter, for every connection.
    Global { round: u32, hash: AdapterHash },
    /// Why a connection ends.
    Close {
        connection: ConnectionId,
        fault: Fault,
    },
    /// Whether a report counts, and then whose it is.
    Verdict { id: u64, client: Option<ClientId> },
    /// Asks for what was summed.
    Collect { round: u32, attempt: u32 },
    /// What came of the owner's wish.
    Done { id: u64, result: Result<(), Fault> },
    /// What there is to know.
    Inspected { id: u64, text: Place },
    /// The process leads no more.
    Ended,
}

/// Where a leader listens.
pub(super) fn up(room: &str, holder: Holder) -> String {
    format!("lpfl.{room}.{:x}.up", holder.term)
}

/// Where a follower listens.
pub(super) fn down(room: &str, holder: Holder, link: u64) -> String {
    format!("lpfl.{room}.{:x}.{link:x}", holder.term)
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    link: u64,
    number: u64,
    /// Nothing breaks silence only.
    what: Option<T>,
}

/// A message that came.
pub(super) struct Received<T> {
    pub(super) link: u64,
    pub(super) number: u64,
    pub(super) what: Option<T>,
    pub(super) payload: Bytes,
}

/// The sending end of a link, which ends when it is dropped. Clones share it.
#[derive(Debug)]
pub(crate) struct Sending<T> {
    queue: mpsc::Sender<(T, Bytes)>,
    /// A message did not fit: nothing is sent after it, so that the other end hears silence.
    broken: CancellationToken,
}

impl<T> Clone for Sending<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            broken: self.broken.clone(),
        }
    }
}

/// NATS does not take what is sent.
#[derive(Debug)]
pub(crate) struct Stuck;

impl<T: Serialize + Send + Sync + 'static> Sending<T> {
    /// Begins to send on `subject`.
    pub(super) fn start(client: Client, subject: String, link: u64) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let broken = CancellationToken::new();
        let sent = publish(client, subject, link, waiting);
        tokio::spawn(broken.clone().run_until_cancelled_owned(sent));
        Self { queue, broken }
    }

    /// Sends a message; never waits.
    pub(crate) fn send(&self, what: T) -> Result<(), Stuck> {
        self.send_with(what, Bytes::new())
    }

    /// Sends a message with a payload; never waits.
    pub(crate) fn send_with(&self, what: T, payload: Bytes) -> Result<(), Stuck> {
        self.queue.try_send((what, payload)).map_err(|_| {
            self.broken.cancel();
            Stuck
        })
    }
}

async fn publish<T: Serialize>(
    client: Client,
    subject: String,
    link: u64,
    mut waiting: mpsc::Receiver<(T, Bytes)>,
) {
    for number in 0.. {
        let (what, payload) = match timeout(BEAT, waiting.recv()).await {
            Ok(Some((what, payload))) => (Some(what), payload),
            Ok(None) => return,
            Err(_) => (None, Bytes::new()),
        };
        let envelope = Envelope { link, number, what };
        let Ok(mut bytes) = serde_json::to_vec(&envelope) else {
            return;
        };
        bytes.push(b'\n');
        bytes.extend(&payload);
        // What is too long leaves a gap, which ends the link.
        if let Err(error) = client.publish(subject.clone(), bytes.into()).await {
            tracing::warn!(%error, "a message to another process was not sent");
        }
    }
}

/// Reads a message.
pub(super) fn read<T: DeserializeOwned>(bytes: &Bytes) -> Option<Received<T>> {
    // JSON has no bare line feeds.
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let envelope: Envelope<T> = serde_json::from_slice(&bytes[..end]).ok()?;
    Some(Received {
        link: envelope.link,
        number: envelope.number,
        what: envelope.what,
        payload: bytes.slice(end + 1..),
    })
}

/// The receiving end of a link: which number comes next, and when the last one came.
pub(super) struct Receiving<T> {
    next: u64,
    heard: Instant,
    kind: PhantomData<fn(T)>,
}

impl<T> Receiving<T> {
    /// A link whose first message is the one with this number.
    pub(super) fn from(next: u64) -> Self {
        Self {
            next,
            heard: Instant::now(),
            kind: PhantomData,
        }
    }

    /// Whether nothing is missing before this message.
    pub(super) fn follows(&mut self, message: &Received<T>) -> bool {
        let follows = message.number == self.next;
        self.next += 1;
        self.heard = Instant::now();
        follows
    }

    /// Counts as heard of.
    pub(super) fn forgive(&mut self) {
        self.heard = Instant::now();
    }

    /// When the other end is taken for gone.
    pub(super) fn gone_at(&self) -> Instant {
        self.heard + SILENCE
    }
}
