//! The words of every fault: one constructor each, so that page, server and tests agree.

use crate::adapter::AdapterHash;
use crate::error::{Blame, Fault, FaultCode};
use crate::protocol::{ClientId, PROTOCOL_VERSION};

impl Fault {
    fn new(code: FaultCode, blame: Blame, message: String, mend: &str) -> Self {
        Self {
            code,
            blame,
            message,
            mend: mend.into(),
        }
    }

    /// No room has this code.
    pub fn unknown_room(code: &str) -> Self {
        let shown: String = code.chars().take(16).collect();
        Self::new(
            FaultCode::UnknownRoom,
            Blame::Client,
            format!("There is no room with the code “{shown}”."),
            "Check the code, or ask the person who opened the room.",
        )
    }

    /// The room has as many clients as it takes.
    pub fn room_full(capacity: u32) -> Self {
        Self::new(
            FaultCode::RoomFull,
            Blame::Nobody,
            format!("The room is full: it takes {capacity} clients."),
            "Try again when somebody has left.",
        )
    }

    /// The peers speak different versions.
    pub fn protocol_version(theirs: u32) -> Self {
        Self::new(
            FaultCode::ProtocolVersion,
            Blame::Client,
            format!(
                "The server speaks version {PROTOCOL_VERSION} of the protocol, the client {theirs}."
            ),
            "Reload the page to get the client that fits this server.",
        )
    }

    /// A message that is well-formed but not allowed here.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(
            FaultCode::Malformed,
            Blame::Client,
            message.into(),
            "Reload the page; if it happens again, the client is at fault.",
        )
    }

    /// The same identity connected again.
    pub fn replaced() -> Self {
        Self::new(
            FaultCode::Replaced,
            Blame::Client,
            "Another tab took over this tab's place in the room.".into(),
            "Go on in the other tab, or join here as a new client.",
        )
    }

    /// The owner removed this client.
    pub fn removed() -> Self {
        Self::new(
            FaultCode::Removed,
            Blame::Nobody,
            "The room's owner removed this client.".into(),
            "Ask the owner before you join again.",
        )
    }

    /// The update is for a round that is over.
    pub fn stale_round(round: u32, reason: &str) -> Self {
        Self::new(
            FaultCode::StaleRound,
            Blame::Nobody,
            format!("The update for round {round} was left out: {reason}."),
            "Go on with the newest model, which is on its way.",
        )
    }

    /// A second update for one round.
    pub fn duplicate_report(round: u32) -> Self {
        Self::new(
            FaultCode::DuplicateReport,
            Blame::Client,
            format!("Round {round} already has this client's update; the second one was left out."),
            "Send one update a round.",
        )
    }

    /// The round did not select this client.
    pub fn not_selected(round: u32) -> Self {
        Self::new(
            FaultCode::NotSelected,
            Blame::Client,
            format!("This client was not selected for round {round}; its update was left out."),
            "Wait for a work order before sending an update.",
        )
    }

    /// The update was made from another adapter.
    pub fn wrong_base(expected: AdapterHash, got: AdapterHash) -> Self {
        Self::new(
            FaultCode::WrongBase,
            Blame::Client,
            format!(
                "The update was left out: it starts from adapter {got}, the round's is {expected}."
            ),
            "Go on with the newest model, which is on its way.",
        )
    }

    /// The update claims more examples than the client has.
    pub fn example_count(what: &str, expected: u32, got: u32) -> Self {
        Self::new(
            FaultCode::ExampleCount,
            Blame::Client,
            format!(
                "The update was left out: it counts {got} {what} examples, the client has {expected}."
            ),
            "Count only the examples that the client announced.",
        )
    }

    /// The room has finished its rounds.
    pub fn finished() -> Self {
        Self::new(
            FaultCode::RoomFinished,
            Blame::Nobody,
            "The room has finished its rounds.".into(),
            "Open a new room to go on.",
        )
    }

    /// The room has no such client.
    pub fn unknown_client(id: ClientId) -> Self {
        Self::new(
            FaultCode::UnknownClient,
            Blame::Client,
            format!("The room has no client with the number {}.", id.0),
            "It has left; look at the list of clients.",
        )
    }

    /// Too few clients are ready.
    pub fn too_few(minimum: u32, ready: usize) -> Self {
        Self::new(
            FaultCode::TooFewClients,
            Blame::Nobody,
            format!("A round needs {minimum} ready clients, {ready} are ready."),
            "Wait until more tabs have loaded the model.",
        )
    }

    /// The server failed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(
            FaultCode::Internal,
            Blame::Server,
            message.into(),
            "Try again; the server's log says more.",
        )
    }

    /// What the server's processes share cannot be reached.
    pub fn out_of_reach() -> Self {
        Self::new(
            FaultCode::Overloaded,
            Blame::Server,
            "The server cannot reach its rooms at the moment.".into(),
            "The client connects again by itself after a pause.",
        )
    }

    /// The server holds as many updates as it may.
    pub fn too_much_held(reason: &str) -> Self {
        Self::new(
            FaultCode::Overloaded,
            Blame::Server,
            format!("The update was left out: {reason}."),
            "Select fewer clients a round, or open a room with a rule that holds a sum only.",
        )
    }

    /// The request needs the owner's token.
    pub fn not_owner() -> Self {
        Self::new(
            FaultCode::NotOwner,
            Blame::Client,
            "Only the person who opened the room may do this.".into(),
            "Use the browser in which the room was opened.",
        )
    }

    /// The client is too slow or sends too much.
    pub fn overloaded(message: impl Into<String>) -> Self {
        Self::new(
            FaultCode::Overloaded,
            Blame::Client,
            message.into(),
            "The client connects again by itself after a pause.",
        )
    }

    /// The server wants its password.
    pub fn password_needed() -> Self {
        Self::new(
            FaultCode::PasswordNeeded,
            Blame::Client,
            "Only those who know this server's password may open rooms.".into(),
            "Ask its operator for the password.",
        )
    }

    /// Something was tried too often; after `seconds` it may be tried again.
    pub fn rate_limited(message: impl Into<String>, seconds: u64) -> Self {
        let mend = match seconds {
            1 => "Wait a second, then try again.".to_owned(),
            _ => format!("Wait {seconds} seconds, then try again."),
        };
        Self::new(FaultCode::RateLimited, Blame::Client, message.into(), &mend)
    }
}
