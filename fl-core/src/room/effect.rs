//! What goes into a room beside messages, and what comes out of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::adapter::Adapter;
use crate::aggregate::OptimizerState;
use crate::error::Fault;
use crate::member::MemberRecord;
use crate::protocol::{ClientId, RoundRecord, ServerMessage};

/// Milliseconds on the shell's clock; only differences matter.
pub type Millis = u64;

/// One connection; a client that comes back has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionId(pub u64);

/// Another process of the service that takes updates of the room's clients and sums them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcessId(pub u32);

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a message on one connection.
    Send(ConnectionId, ServerMessage),
    /// Send the current global adapter on one connection.
    SendGlobal(ConnectionId),
    /// Send a message on every connection of the room.
    Broadcast(ServerMessage),
    /// Send the current global adapter on every connection of the room.
    BroadcastGlobal,
    /// Send why, then close the connection.
    Close(ConnectionId, Fault),
    /// Ask these processes for what they have summed in this attempt at this round; each answer
    /// goes to [`Room::collected`], each one that is lost to [`Room::process_lost`].
    Collect {
        /// The round.
        round: u32,
        /// The attempt.
        attempt: u32,
        /// The processes.
        processes: Vec<ProcessId>,
    },
    /// Store the round, its adapter and the server optimizer's state durably, then call
    /// [`Room::stored`] or [`Room::store_failed`].
    Store(RoundRecord, Arc<Adapter>, Arc<OptimizerState>),
    /// Store the record of a round that changed nothing.
    StoreAbandoned(RoundRecord),
    /// Store a member's record.
    StoreMember(MemberRecord),
    /// Forget a member's record.
    ForgetMember(ClientId),
    /// Store whether the room runs.
    StoreActivity(Activity),
}

/// An update that counts, and where: not always in the round in which its client began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Who sent it.
    pub client: ClientId,
    /// The round that it goes into.
    pub round: u32,
    /// Which attempt at it.
    pub attempt: u32,
}

/// Whether the room runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Rounds follow each other.
    Running,
    /// No new round starts.
    Paused,
    /// All rounds are done.
    Finished,
}

/// What a room's owner can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerCommand {
    /// Start, or go on after a pause.
    Start,
    /// Start no further round; the one that runs ends as usual.
    Pause,
    /// End the round that runs with the reports it has, or start one without waiting for the
    /// quorum.
    NextRound,
    /// Finish the room now.
    Finish,
    /// Remove a client.
    Remove(ClientId),
}
