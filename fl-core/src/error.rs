//! Errors of the pure core, and the faults that travel between peers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A setting out of its documented range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting {field}: expected {expected}, got {got}")]
pub struct SettingsError {
    /// The field's path, e.g. `round.quorum.count`.
    pub field: String,
    /// The documented range.
    pub expected: String,
    /// The value found.
    pub got: String,
}

impl SettingsError {
    pub(crate) fn new(
        field: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            expected: expected.into(),
            got: got.into(),
        }
    }
}

/// Why a peer's message or wish was not met: typed for programs, worded for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Fault {
    /// What kind of fault.
    pub code: FaultCode,
    /// Whose fault it is.
    pub blame: Blame,
    /// One sentence: what was expected and what was got.
    pub message: String,
    /// One sentence: what to do about it.
    pub mend: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.message, self.mend)
    }
}

impl std::error::Error for Fault {}

/// The side that has to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Blame {
    /// The client broke the protocol or sent bad data.
    Client,
    /// The server could not do its part.
    Server,
    /// Nobody: timing or a full room.
    Nobody,
}

/// Every kind of fault on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum FaultCode {
    /// No room has this code.
    UnknownRoom,
    /// The room has as many clients as it takes.
    RoomFull,
    /// The room has finished its rounds.
    RoomFinished,
    /// Client and server speak different versions of the protocol.
    ProtocolVersion,
    /// A frame that is not a message of the protocol, or one out of order.
    Malformed,
    /// A frame or field above its limit.
    Oversized,
    /// An update with a value that is not finite.
    NonFinite,
    /// An update whose matrices have other names or shapes than the room's adapter.
    Misshapen,
    /// An update made from another adapter than the round's.
    WrongBase,
    /// An update for a round that is over.
    StaleRound,
    /// A second update for the same round.
    DuplicateReport,
    /// An update from a client that the round did not select.
    NotSelected,
    /// Example counts above what the client declared.
    ExampleCount,
    /// The same identity connected again, and the newer connection goes on.
    Replaced,
    /// The owner removed this client.
    Removed,
    /// The room has no client with this number.
    UnknownClient,
    /// Too few clients are ready for what the owner asked.
    TooFewClients,
    /// The client reads too slowly, sends too much or nothing; or the server has no place for one
    /// more connection, room or update, or cannot reach its rooms.
    Overloaded,
    /// Too many tries from one address, or at one room: the next has to wait.
    RateLimited,
    /// The server's password is needed, and was not given or is another one.
    PasswordNeeded,
    /// The request needs the room's owner token.
    NotOwner,
    /// A setting out of range.
    BadSettings,
    /// The server failed.
    Internal,
}

impl FaultCode {
    /// Whether a client that gets this fault should stop trying to connect.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::UnknownRoom
                | Self::RoomFull
                | Self::RoomFinished
                | Self::ProtocolVersion
                | Self::Replaced
                | Self::Removed
        )
    }

    /// Whether the server sends the newest global adapter along, so that the client can go on.
    pub fn is_answered_with_latest(self) -> bool {
        matches!(self, Self::StaleRound | Self::WrongBase)
    }
}

impl From<SettingsError> for Fault {
    fn from(error: SettingsError) -> Self {
        Self {
            code: FaultCode::BadSettings,
            blame: Blame::Client,
            message: format!("{error}."),
            mend: format!("Change {} and try again.", error.field),
        }
    }
}
