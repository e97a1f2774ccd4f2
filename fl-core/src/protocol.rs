//! The messages between client and server; PROTOCOL.md describes them for other languages.

mod kind;

use serde::{Deserialize, Serialize};

use crate::adapter::AdapterHash;
use crate::error::Fault;
use crate::settings::RoomSettings;

/// Version of this protocol; both sides must name the same one.
pub const PROTOCOL_VERSION: u32 = 3;

/// Most characters of a client's name.
pub const NAME_CHARACTERS: usize = 40;

/// Identifies a client within its room; never reused there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct ClientId(pub u32);

/// Client to server, as JSON text frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first message on a connection.
    Hello {
        /// [`PROTOCOL_VERSION`] of the client.
        protocol: u32,
        /// Code of the room to join.
        room: String,
        /// Name shown to the others, 1 to [`NAME_CHARACTERS`] characters.
        name: String,
        /// The token of an earlier [`ServerMessage::Welcome`], to take that place back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume: Option<String>,
    },
    /// Model and texts are loaded: this client can be selected.
    Ready {
        /// Labelled texts held.
        gold: u32,
        /// Unlabelled texts held.
        unlabelled: u32,
    },
    /// How far the local work is; for the others to see.
    Progress(Progress),
    /// This client cannot do the round's work.
    Declined {
        /// The round it was selected for.
        round: u32,
        /// One sentence for people; the room keeps its first 200 characters.
        reason: String,
    },
    /// Leaves the room for good.
    Leave,
}

/// Server to client, as JSON text frames.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The answer to a good hello.
    Welcome(Box<Welcome>),
    /// The client is refused, or must go: the connection closes after this.
    Refused(Fault),
    /// Something the client sent was wrong; the connection stays.
    Fault(Fault),
    /// What the room looks like now.
    Room(RoomView),
    /// The client is selected: work on this round, from the adapter with this hash, which the
    /// connection has already carried.
    Work(WorkOrder),
    /// Local work on this round is no longer wanted.
    Cancel {
        /// The round given up.
        round: u32,
    },
    /// The answer to a report.
    Receipt(Receipt),
    /// A round is complete, or was abandoned.
    RoundEnded(RoundRecord),
    /// The server evaluated a global adapter.
    Evaluated(Evaluated),
    /// The connection lives.
    Heartbeat,
}

/// Header of the binary frame that a client sends; the body is its adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientHeader {
    /// The result of local work.
    Report(Report),
}

/// Header of the binary frame that a server sends; the body is the global adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerHeader {
    /// The newest global adapter.
    Global {
        /// Rounds completed to make it.
        round: u32,
        /// Its hash.
        hash: AdapterHash,
    },
}

/// A client's place in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Welcome {
    /// [`PROTOCOL_VERSION`] of the server.
    pub protocol: u32,
    /// Code of the room.
    pub room: String,
    /// The client's identity in it.
    pub client: ClientId,
    /// Secret that takes this place back after a reload.
    pub resume: String,
    /// Which share of the room's corpus is this client's.
    pub shard: u32,
    /// The room's settings.
    pub settings: RoomSettings,
    /// The base model's files.
    pub model: ModelInfo,
    /// Whether the server keeps the updates themselves, not only their average.
    pub recorded: bool,
    /// The newest [`HISTORY_SENT`] rounds, oldest first; the last [`WELCOME_NAMING`] name clients.
    pub history: Vec<RoundRecord>,
    /// The first evaluation and the newest, oldest first; at most [`HISTORY_SENT`].
    pub evaluations: Vec<Evaluated>,
}

/// Most round records, and most evaluations, in a [`Welcome`].
pub const HISTORY_SENT: usize = 100;
/// The newest rounds of a [`Welcome`] that name clients, at most [`WELCOME_NAMED`] in each list.
pub const WELCOME_NAMING: usize = 5;
/// See [`WELCOME_NAMING`].
pub const WELCOME_NAMED: usize = 10;
/// Most clients named in each list of a [`ServerMessage::RoundEnded`].
pub const ENDED_NAMED: usize = 20;

/// A base model as the server offers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// Number of its parameters.
    #[cfg_attr(feature = "typescript", ts(type = "number"))]
    pub parameters: u64,
    /// Its files, fetched from `/api/models/NAME/FILE`.
    pub files: Vec<FileInfo>,
}

/// One file that a client downloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct FileInfo {
    /// File name without a path.
    pub name: String,
    /// Size in bytes.
    #[cfg_attr(feature = "typescript", ts(type = "number"))]
    pub bytes: u64,
    /// SHA-256 of the content, in lower-case hexadecimal.
    pub sha256: String,
}

/// One round's order to a selected client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct WorkOrder {
    /// The round, counted from 1.
    pub round: u32,
    /// Which try at this round, counted from 1.
    pub attempt: u32,
    /// The global adapter to start from.
    pub base: AdapterHash,
    /// Milliseconds until the round ends without this client.
    pub deadline_ms: u32,
}

/// How far local work is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Progress {
    /// The round worked on.
    pub round: u32,
    /// What the client does.
    pub stage: Stage,
    /// Steps done of this stage.
    pub done: u32,
    /// Steps of this stage in all.
    pub total: u32,
    /// Mean training loss so far, where there is one.
    pub loss: Option<f32>,
}

/// A stage of local work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Stage {
    /// Gives soft labels to unlabelled texts.
    Labelling,
    /// Trains the adapter.
    Training,
}

/// A client's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Report {
    /// The round worked on.
    pub round: u32,
    /// The attempt of the work order.
    pub attempt: u32,
    /// The adapter that training started from.
    pub base: AdapterHash,
    /// Gold examples trained on.
    pub gold: u32,
    /// Soft-labelled examples trained on.
    pub soft: u32,
    /// Optimizer steps taken.
    pub steps: u32,
    /// Mean training loss of the first epoch's steps.
    pub loss_first: f32,
    /// Mean training loss of the last epoch's steps.
    pub loss_last: f32,
    /// Mean confidence of the soft labels, 0 where there are none.
    pub confidence: f32,
    /// Milliseconds of local work.
    pub work_ms: u32,
}

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Receipt {
    /// The round that the report named.
    pub round: u32,
    /// None when it counts; else why it does not.
    pub fault: Option<Fault>,
}

/// What a room looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct RoomView {
    /// Code of the room.
    pub code: String,
    /// Rounds completed.
    pub completed: u32,
    /// Where the room stands.
    pub phase: PhaseView,
    /// Clients connected.
    pub connected: u32,
    /// Of these, the ready ones.
    pub ready: u32,
    /// Ready clients needed for a round to start.
    pub needed: u32,
    /// The members, longest first; at most [`ROSTER_SHOWN`].
    pub members: Vec<MemberView>,
}

/// Most members named in a [`RoomView`].
pub const ROSTER_SHOWN: usize = 100;

/// Where a room stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum PhaseView {
    /// The owner has not started it, or paused it.
    Paused,
    /// Too few clients are ready.
    Waiting,
    /// A round is running.
    Working {
        /// Its number, from 1.
        round: u32,
        /// Which try at it, from 1.
        attempt: u32,
        /// Clients selected.
        selected: u32,
        /// Reports accepted.
        reported: u32,
        /// Milliseconds until the deadline.
        deadline_ms: u32,
    },
    /// All rounds are done.
    Finished,
}

/// One member as the others see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct MemberView {
    /// Identity.
    pub id: ClientId,
    /// Name, as the client gave it. Text, never markup.
    pub name: String,
    /// What it does now.
    pub state: MemberState,
    /// Labelled texts it holds.
    pub gold: u32,
    /// Unlabelled ones.
    pub unlabelled: u32,
    /// Share of the current stage that is done, 0 to 1.
    pub progress: f32,
    /// Its last training loss, where it has one.
    pub loss: Option<f32>,
    /// Rounds that its updates went into.
    pub contributed: u32,
}

/// What a member does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum MemberState {
    /// Loads model and texts.
    Loading,
    /// Ready for a round.
    Ready,
    /// Gives soft labels.
    Labelling,
    /// Trains.
    Training,
    /// Has reported in this round.
    Reported,
    /// Its connection broke; its place is kept.
    Away,
}

/// A round that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct RoundRecord {
    /// Its number, from 1.
    pub round: u32,
    /// Which try at it, from 1.
    pub attempt: u32,
    /// Whether it made a new global adapter.
    pub outcome: RoundOutcome,
    /// Clients selected.
    pub selected: u32,
    /// Those whose updates went in.
    pub reported: u32,
    /// Who they are.
    pub participants: Vec<ClientId>,
    /// The selected clients whose updates did not go in, and why.
    pub excluded: Vec<Exclusion>,
    /// Gold examples of the reports accepted, also of those that the rule then left out (Krum).
    pub gold: u32,
    /// Soft-labelled examples, likewise.
    pub soft: u32,
    /// Mean of the clients' last training loss, likewise, weighted by n_k of `settings.weighting`.
    pub loss: Option<f32>,
    /// Milliseconds from selection to aggregation.
    pub duration_ms: u32,
    /// Bytes of the reports accepted.
    #[cfg_attr(feature = "typescript", ts(type = "number"))]
    pub bytes_up: u64,
}

/// A selected client whose update did not go in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Exclusion {
    /// The client.
    pub client: ClientId,
    /// Why, for people: completes "its update was left out because …".
    pub reason: String,
}

impl RoundRecord {
    /// The record with at most `named` clients in each list; the counts stay whole.
    pub fn summary(&self, named: usize) -> Self {
        // Each field by itself: a clone of the whole would copy the lists of thousands first.
        Self {
            round: self.round,
            attempt: self.attempt,
            outcome: self.outcome.clone(),
            selected: self.selected,
            reported: self.reported,
            participants: self.participants.iter().take(named).copied().collect(),
            excluded: self.excluded.iter().take(named).cloned().collect(),
            gold: self.gold,
            soft: self.soft,
            loss: self.loss,
            duration_ms: self.duration_ms,
            bytes_up: self.bytes_up,
        }
    }
}

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum RoundOutcome {
    /// A new global adapter, with this hash.
    Completed {
        /// Hash of the new global adapter.
        hash: AdapterHash,
    },
    /// Nothing changed; the round is tried again.
    Abandoned {
        /// Why, for people.
        reason: String,
    },
}

/// Quality of a global adapter on the room's held-out texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Evaluated {
    /// Rounds completed to make the adapter; 0 is the untrained one.
    pub round: u32,
    /// Its hash.
    pub hash: AdapterHash,
    /// Held-out texts.
    pub count: u32,
    /// Share labelled right.
    pub accuracy: f32,
    /// Mean over the labels of F1.
    pub macro_f1: f32,
    /// Mean cross-entropy.
    pub loss: f32,
}
