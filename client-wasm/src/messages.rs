//! What page and worker say to each other: one typed union each way, errors included.

use fl_core::error::Fault;
use fl_core::protocol::{Evaluated, Progress, RoomView, RoundRecord, Welcome};
use serde::{Deserialize, Serialize};

/// Page to worker.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Command {
    /// Joins a room; the first command.
    Join(Join),
    /// Labels a sentence with the room's newest model; answered by [`Event::Classified`].
    Classify {
        /// Comes back in the answer.
        id: u32,
        /// The sentence. It stays in the tab.
        text: String,
    },
    /// Stops local work after the current step, until [`Command::Resume`].
    Pause,
    /// Goes on with local work.
    Resume,
    /// From now on so many workers may share the tab's work; [`Join::workers`] until then.
    Workers {
        /// How many, the client's own included.
        count: u32,
    },
    /// Leaves the room for good.
    Leave,
}

/// What a tab needs to join.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Join {
    /// The server's origin, e.g. `http://127.0.0.1:8080`.
    pub origin: String,
    /// The room's code.
    pub room: String,
    /// The name shown to the others.
    pub name: String,
    /// Token of an earlier [`Event::Welcomed`], to take that place back.
    pub resume: Option<String>,
    /// The tab's own texts, needed in a room where clients bring them.
    pub texts: Option<OwnTexts>,
    /// How many workers may share the tab's work, each a thread with a copy of the model; 0 is
    /// taken as 1. A native client has one.
    #[serde(default)]
    pub workers: u32,
}

/// A file of texts that the person at the tab chose. It stays in the tab.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct OwnTexts {
    /// File name, for messages.
    pub file: String,
    /// Its content: CSV, TSV or JSONL with `text` and, where known, `label`.
    pub content: String,
}

/// Worker to page.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Event {
    /// The state of the connection changed.
    Connection(Connection),
    /// The room took this tab in; comes again after each reconnection.
    Welcomed(Box<Welcome>),
    /// Progress over all downloads.
    Download {
        /// Bytes here.
        #[cfg_attr(feature = "typescript", ts(type = "number"))]
        loaded: u64,
        /// Bytes in all.
        #[cfg_attr(feature = "typescript", ts(type = "number"))]
        total: u64,
    },
    /// Where the weights are kept.
    Storage(Storage),
    /// The texts that this tab holds were read.
    Texts {
        /// Gold examples of each label, in the task's order.
        gold_by_label: Vec<u32>,
        /// Unlabelled texts.
        unlabelled: u32,
        /// Rows left out, worded for people, the first 20.
        skipped: Vec<String>,
    },
    /// Model and texts are ready.
    Ready,
    /// How many workers share the tab's work: when that changes, and after a round.
    Workers {
        /// Workers that are ready, the client's own included.
        ready: u32,
        /// Pieces of work that the others have done so far.
        helped: u32,
    },
    /// What the room looks like.
    Room(RoomView),
    /// Local work goes on.
    Progress(Progress),
    /// The labelled set of this tab in the current round.
    Holding {
        /// Gold examples.
        gold: u32,
        /// Soft-labelled examples.
        soft: u32,
        /// Unlabelled texts without a label yet.
        remaining: u32,
        /// Mean confidence of the soft labels.
        confidence: f32,
    },
    /// A new global adapter is in use.
    Adopted {
        /// Rounds completed to make it.
        round: u32,
        /// Its hash.
        hash: String,
    },
    /// A round ended.
    RoundEnded(RoundRecord),
    /// The server evaluated a global adapter.
    Evaluated(Evaluated),
    /// Something left this tab or came in.
    Traffic(Traffic),
    /// The answer to [`Command::Classify`].
    Classified {
        /// The command's id.
        id: u32,
        /// Rounds completed to make the model that answered.
        round: u32,
        /// Probability of each label, in the task's order.
        probabilities: Vec<f32>,
    },
    /// Something went wrong; the client goes on where it can.
    Fault(Fault),
    /// The client has stopped: left, removed, refused, or the room is finished for it.
    Stopped {
        /// Why, unless the person left.
        fault: Option<Fault>,
    },
}

/// The state of the connection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Connection {
    /// Being opened.
    Connecting,
    /// Open.
    Connected,
    /// Lost; tried again by itself.
    Waiting {
        /// Milliseconds until the next try.
        retry_ms: u32,
    },
}

/// Where the weights are kept for the next visit.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "kept", rename_all = "snake_case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Storage {
    /// In the browser's cache.
    Cache,
    /// In memory only, and why.
    Memory {
        /// For people.
        reason: String,
    },
}

/// One entry of the byte ledger: everything that leaves or enters by the room's connection.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Traffic {
    /// Which way.
    pub direction: Direction,
    /// The message's type, e.g. `hello`, `report`, `global`.
    pub what: String,
    /// Its size in bytes.
    pub bytes: u32,
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Direction {
    /// From this tab.
    Up,
    /// To this tab.
    Down,
}
