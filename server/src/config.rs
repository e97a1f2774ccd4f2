//! What an operator can set, with its defaults.

use std::path::PathBuf;
use std::time::Duration;

/// How a server runs.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Folder of everything that outlives the process; made when it is missing.
    pub data_dir: PathBuf,
    /// Folders of base models (`config.json`, `tokenizer.json`, `model.safetensors`), offered under
    /// their own names next to the bundled one.
    pub models: Vec<PathBuf>,
    /// Origins other than the server's own whose pages may open WebSockets, e.g.
    /// `https://example.org`.
    pub allowed_origins: Vec<String>,
    /// Whether every update that counts is kept, for [`crate::recording`].
    pub record: bool,
    /// What one server holds and bears.
    pub limits: Limits,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("lpfl-data"),
            models: Vec::new(),
            allowed_origins: Vec::new(),
            record: false,
            limits: Limits::default(),
        }
    }
}

/// Bounds on what strangers can make the server hold, send and wait for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Rooms on this server.
    pub rooms: usize,
    /// WebSockets at once.
    pub connections: usize,
    /// Time from a WebSocket's opening to its hello.
    pub handshake: Duration,
    /// Time without any frame from a client after which its connection is closed.
    pub silence: Duration,
    /// Time between pings; a socket on which nothing was sent for as long gets a heartbeat too.
    pub heartbeat: Duration,
    /// Messages queued for one connection; a reader that falls further behind is dropped.
    pub send_queue: usize,
    /// Messages that one connection may send at once, and again each second.
    pub messages_per_second: u32,
    /// Malformed frames in a row after which a connection is closed.
    pub malformed_in_a_row: u32,
    /// Least time between two views of a room.
    pub view_interval: Duration,
    /// Rounds whose adapter is kept on disk, besides the best one's.
    pub kept_adapters: usize,
    /// Time that the end of the server waits for open connections.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms: 1_000,
            connections: 10_000,
            handshake: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            heartbeat: Duration::from_secs(15),
            send_queue: 64,
            messages_per_second: 200,
            malformed_in_a_row: 20,
            view_interval: Duration::from_millis(250),
            kept_adapters: 5,
            drain: Duration::from_secs(5),
        }
    }
}
