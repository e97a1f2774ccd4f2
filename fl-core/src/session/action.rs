//! What goes into a session beside frames, and what comes out of it.

use std::sync::Arc;

use crate::adapter::{Adapter, AdapterHash};
use crate::error::Fault;
use crate::protocol::{Evaluated, Receipt, RoomView, RoundRecord, Welcome, WorkOrder};
use crate::room::Millis;

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection, then call [`Session::opened`](super::Session::opened), or [`Session::closed`](super::Session::closed) if it fails.
    Connect,
    /// Send a text frame.
    SendText(String),
    /// Send a binary frame.
    SendBinary(Vec<u8>),
    /// Close the connection. Its end need not be reported.
    Disconnect,
    /// Load model and texts, then call [`Session::prepared`](super::Session::prepared).
    Prepare(Box<Welcome>),
    /// Take over a new global adapter.
    Adopt(Global),
    /// Do a round's local work from this adapter, then call [`Session::finished`](super::Session::finished) or
    /// [`Session::failed`](super::Session::failed).
    Work(WorkOrder, Global),
    /// Stop the local work.
    StopWork,
    /// Tell the person.
    Notify(Notice),
}

/// A global adapter as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Rounds completed to make it.
    pub round: u32,
    /// Its hash, checked.
    pub hash: AdapterHash,
    /// The adapter.
    pub adapter: Arc<Adapter>,
}

/// What a person may want to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A connection is being opened.
    Connecting,
    /// The connection is lost and tried again after this many milliseconds.
    Waiting(Millis),
    /// The room took this client in.
    Welcomed(Box<Welcome>),
    /// What the room looks like.
    Room(RoomView),
    /// A round ended.
    RoundEnded(RoundRecord),
    /// The server evaluated a global adapter.
    Evaluated(Evaluated),
    /// A report counts, or why not.
    Receipt(Receipt),
    /// A frame was sent: its type and size.
    Sent(&'static str, usize),
    /// A frame came: its type and size.
    Received(&'static str, usize),
    /// Something went wrong, and the client goes on.
    Fault(Fault),
    /// The client stopped for good, and why, unless the person left.
    Stopped(Option<Fault>),
}

/// How to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// The room's code.
    pub room: String,
    /// The name shown to the others.
    pub name: String,
    /// Token of an earlier place.
    pub resume: Option<String>,
}

/// The result of local work, as the learner gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkResult {
    /// Gold examples trained on.
    pub gold: u32,
    /// Soft-labelled examples trained on.
    pub soft: u32,
    /// Optimizer steps taken.
    pub steps: u32,
    /// Mean training loss of the first epoch.
    pub loss_first: f32,
    /// Mean training loss of the last epoch.
    pub loss_last: f32,
    /// Mean confidence of the soft labels.
    pub confidence: f32,
    /// Milliseconds of work.
    pub work_ms: u32,
}
