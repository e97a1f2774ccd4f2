//! Bounds on what strangers can make the server hold, send and wait for.
//!
//! One table makes the struct, its defaults, the names that an operator sets them by, and the words
//! of `--help`, so that none of them can be forgotten.

use std::time::Duration;

/// Longest time that a limit can be set to: clocks can add it to any moment.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Largest number that a limit can be set to: queues and semaphores of this size can be made.
const MOST: u32 = 1_000_000_000;

/// A limit that was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// Not of the form `NAME=VALUE`.
    #[error("expected NAME=VALUE, got {0:?}")]
    Form(String),
    /// No limit has this name.
    #[error("there is no limit {name:?}; expected one of {}", .known.join(", "))]
    Unknown {
        /// The name found.
        name: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// The value is no such value, or out of range.
    #[error("limit {name}: expected {expected}, got {got:?}")]
    Value {
        /// The limit.
        name: &'static str,
        /// What it takes.
        expected: String,
        /// The value found.
        got: String,
    },
}

/// One limit, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitInfo {
    /// The name that it is set by.
    pub name: &'static str,
    /// Its default, in the form in which it can be set.
    pub default: String,
    /// What it bounds.
    pub meaning: String,
}

/// What a limit can be.
trait Value: Sized {
    fn parse(text: &str) -> Option<Self>;
    fn show(&self) -> String;
    fn expected() -> String;
}

impl Value for u32 {
    fn parse(text: &str) -> Option<Self> {
        let number: u32 = text.parse().ok()?;
        (1..=MOST).contains(&number).then_some(number)
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        format!("a whole number from 1 to {MOST}")
    }
}

impl Value for usize {
    fn parse(text: &str) -> Option<Self> {
        <u32 as Value>::parse(text).map(|number| number as usize)
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        <u32 as Value>::expected()
    }
}

impl Value for Duration {
    fn parse(text: &str) -> Option<Self> {
        let duration = humantime::parse_duration(text).ok()?;
        (Duration::from_millis(1)..=LONGEST)
            .contains(&duration)
            .then_some(duration)
    }

    fn show(&self) -> String {
        humantime::format_duration(*self).to_string()
    }

    fn expected() -> String {
        "a time from 1ms to 24h, such as 250ms, 15s or 2m".into()
    }
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:expr,)+) => {
        /// Bounds on what strangers can make the server hold, send and wait for.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $name: $kind,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Limits {
            /// All limits in their order.
            pub fn table() -> Vec<LimitInfo> {
                let defaults = Self::default();
                vec![$(LimitInfo {
                    name: stringify!($name),
                    default: defaults.$name.show(),
                    meaning: concat!($($doc),+).trim().to_owned(),
                },)+]
            }

            fn assign(&mut self, name: &str, value: &str) -> Result<(), LimitError> {
                $(if name == stringify!($name) {
                    let parsed = <$kind as Value>::parse(value);
                    self.$name = parsed.ok_or_else(|| LimitError::Value {
                        name: stringify!($name),
                        expected: <$kind as Value>::expected(),
                        got: value.to_owned(),
                    })?;
                    return Ok(());
                })+
                Err(LimitError::Unknown {
                    name: name.to_owned(),
                    known: vec![$(stringify!($name)),+],
                })
            }
        }
    };
}

limits! {
    /// Rooms on this server
    rooms: usize = 1_000,
    /// Clients in one room, whatever its owner asks for
    clients_per_room: u32 = 10_000,
    /// WebSockets at once
    connections: usize = 10_000,
    /// WebSockets at once from one address
    connections_per_address: usize = 1_000,
    /// Rooms that one address may open at once, and again each minute
    rooms_per_address_and_minute: u32 = 30,
    /// Wrong codes, passwords and owner's tokens that one address may send at once, and again each
    /// minute, before it has to wait
    wrong_codes_per_address_and_minute: u32 = 30,
    /// Hellos that one room may refuse at once, and again each minute, before newcomers have to wait
    failed_hellos_per_room_and_minute: u32 = 300,
    /// Largest update that a room may have, in MiB
    update_mib: usize = 64,
    /// Memory for all updates under way, in MiB: what is read beyond it waits
    updates_in_flight_mib: usize = 1_024,
    /// Time from a WebSocket's opening to its hello
    handshake: Duration = Duration::from_secs(10),
    /// Time without any frame from a client after which its connection is closed
    silence: Duration = Duration::from_secs(60),
    /// Time between pings; a socket on which nothing was sent for as long gets a heartbeat too
    heartbeat: Duration = Duration::from_secs(15),
    /// Messages queued for one connection; a reader that falls further behind is dropped
    send_queue: usize = 64,
    /// Messages that one connection may send at once, and again each second
    messages_per_second: u32 = 200,
    /// Malformed frames in a row after which a connection is closed
    malformed_in_a_row: u32 = 20,
    /// Least time between two views of a room
    view_interval: Duration = Duration::from_millis(250),
    /// Rounds whose adapter is kept on disk, besides the best one's
    kept_adapters: usize = 5,
    /// Time between /readyz turning false and the end of new connections, for a load balancer to see it
    notice: Duration = Duration::from_millis(100),
    /// Time that the end of the server waits for open connections
    drain: Duration = Duration::from_secs(5),
}

impl Limits {
    /// Sets one limit from `NAME=VALUE`.
    ///
    /// # Errors
    /// [`LimitError`] for another form, an unknown name, or a value out of range.
    pub fn set(&mut self, setting: &str) -> Result<(), LimitError> {
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| LimitError::Form(setting.to_owned()))?;
        self.assign(name.trim(), value.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_can_be_set_as_they_are_shown() {
        let mut limits = Limits::default();
        for LimitInfo { name, default, .. } in Limits::table() {
            limits.set(&format!("{name}={default}")).unwrap();
        }
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn values_are_parsed() {
        let mut limits = Limits::default();
        limits.set("rooms=7").unwrap();
        limits.set(" silence = 1m 30s ").unwrap();
        assert_eq!((limits.rooms, limits.silence.as_secs()), (7, 90));
    }

    #[test]
    fn wrong_settings_are_named() {
        let mut limits = Limits::default();
        let mut wrong = |setting: &str| limits.set(setting).unwrap_err().to_string();
        assert!(wrong("rooms").contains("expected NAME=VALUE"));
        let unknown = wrong("rooom=3");
        assert!(unknown.contains("\"rooom\""), "{unknown}");
        for LimitInfo { name, .. } in Limits::table() {
            assert!(unknown.contains(name), "{unknown}");
        }
        for value in ["0", "-1", "1.5", "", "many", "4294967295"] {
            let message = wrong(&format!("rooms={value}"));
            assert!(message.starts_with("limit rooms: expected a whole number"));
        }
        for value in ["0s", "7", "25h", "soon"] {
            let message = wrong(&format!("drain={value}"));
            assert!(message.starts_with("limit drain: expected a time"));
        }
        assert_eq!(limits, Limits::default());
    }
}
