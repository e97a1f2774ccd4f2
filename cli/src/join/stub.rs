//! `lpfl join --stub`: many clients in one process that learn nothing, to measure a server.
//!
//! Each is a socket and a [`Session`](fl_core::session::Session), the same machine as in a tab; its
//! updates are made up. What they share is the global adapter's copy, so that thousands fit.

mod client;
mod known;
mod malformed;
mod measures;
mod misbehaviour;
mod trace;
mod update;
mod wire;

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::client::{Client, Shared};
use self::measures::Measures;
pub use self::misbehaviour::Shares;
use self::trace::Trace;
use crate::open_files;

/// Open files of a process beside its sockets.
const OTHER_FILES: u64 = 64;

/// What to run.
#[derive(Debug)]
pub struct Load {
    /// The server, as `http://` or `https://` and a host.
    pub origin: String,
    /// The room's code.
    pub room: String,
    /// The name of each client.
    pub names: Vec<String>,
    /// Who misbehaves.
    pub shares: Shares,
    /// Decides updates, and who misbehaves.
    pub seed: u64,
    /// Whether one JSON object is printed instead of lines.
    pub json: bool,
    /// Whether places and adapters are printed as clients hear of them.
    pub trace: bool,
}

/// Runs the clients until the room has finished, or Ctrl-C; then prints what was measured.
///
/// # Errors
/// One line when the process may not open that many sockets, a well-behaved client had to stop, or
/// clients ended on different adapters.
pub async fn run(load: Load) -> Result<()> {
    let clients = u32::try_from(load.names.len()).unwrap_or(u32::MAX);
    open_files::allow(u64::from(clients) + OTHER_FILES)?;
    let dealt = load.shares.deal(clients, load.seed);
    let measures = Measures::new(&dealt);
    let trace = Trace::new(load.trace);
    let shared = Shared::new(&load.origin, load.room, load.seed, measures, trace)?;
    let shared = Arc::new(shared);
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for ((name, number), misdeed) in load.names.into_iter().zip(1..).zip(dealt) {
        let client = Client::new(number, name, misdeed, Arc::clone(&shared));
        tasks.spawn(client.run(stopped.clone()));
    }
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended.context("a client of this process failed")?,
                None => break,
            },
            signal = tokio::signal::ctrl_c() => {
                signal.context("signals cannot be waited for")?;
                stop.send_replace(true);
            }
        }
    }
    let measures = shared.measures();
    let report = measures.report(clients, load.seed);
    match load.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{}", report.lines()),
    }
    measures.verdict().map_err(|reason| anyhow!(reason))
}
