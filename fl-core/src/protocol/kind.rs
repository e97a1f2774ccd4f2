//! The names of the messages' types.

use super::{ClientMessage, ServerMessage};

impl ClientMessage {
    /// The message's type, as on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Ready { .. } => "ready",
            Self::Progress(_) => "progress",
            Self::Declined { .. } => "declined",
            Self::Leave => "leave",
        }
    }
}

impl ServerMessage {
    /// The message's type, as on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "welcome",
            Self::Refused(_) => "refused",
            Self::Fault(_) => "fault",
            Self::Room(_) => "room",
            Self::Work(_) => "work",
            Self::Cancel { .. } => "cancel",
            Self::Receipt(_) => "receipt",
            Self::RoundEnded(_) => "round_ended",
            Self::Evaluated(_) => "evaluated",
            Self::Heartbeat => "heartbeat",
        }
    }
}
