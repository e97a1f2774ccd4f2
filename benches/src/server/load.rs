//! Sockets that all take part in every round of one room.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::process::{Joined, Server, join};
use super::room::{Room, is_paused, settings};

/// How long anything may take that should take seconds.
const PATIENCE: Duration = Duration::from_secs(600);
/// Time in which memory settles.
const REST: Duration = Duration::from_secs(3);

/// How many take part, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub clients: u32,
    pub rounds: u32,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Figures {
    pub joined: Joined,
    /// Server memory per connected client that does nothing: before the first round.
    pub idle_before: u64,
    /// The same after the last one.
    pub idle_after: u64,
    /// Most memory of the server.
    pub peak: u64,
    /// Processor time of the server for one update.
    pub server_micros: f64,
    /// Processor time of all stubs for one update.
    pub stubs_micros: f64,
}

impl Figures {
    pub fn parameters(&self) -> usize {
        self.joined.parameters
    }

    pub fn rounds_per_minute(&self) -> f64 {
        60.0 * f64::from(self.joined.rounds) / self.joined.seconds
    }
}

impl Load {
    /// Runs server and stubs.
    ///
    /// # Errors
    /// A client that was dropped, and whatever stops the programs.
    pub fn measure(self, program: &Path) -> Result<Figures> {
        let Self { clients, rounds } = self;
        let server = Server::start(program)?;
        let room = Room::open(&server.url, &settings(clients))?;
        sleep(REST);
        let empty = server.process.memory()?.now;
        let stubs = join(program, &server.url, &room.code, clients)?;
        room.wait("joining", PATIENCE, |view| view.ready == clients)?;
        sleep(REST);
        let per_client = |bytes: u64| bytes.saturating_sub(empty) / u64::from(clients);
        let idle_before = per_client(server.process.memory()?.now);
        let time = || -> Result<(f64, f64)> {
            Ok((
                server.process.processor_seconds()?,
                stubs.processor_seconds()?,
            ))
        };
        let before = time()?;
        room.command("start")?;
        room.wait("the rounds", PATIENCE, |view| view.completed + 1 >= rounds)?;
        room.command("pause")?;
        room.wait("the last round", PATIENCE, is_paused)?;
        let after = time()?;
        sleep(REST);
        let memory = server.process.memory()?;
        let idle_after = per_client(memory.now);
        room.command("finish")?;
        let joined: Joined = stubs.answer()?;
        let (finished, reconnects) = (joined.finished, joined.reconnects);
        ensure!(
            finished == clients && reconnects == 0,
            "{finished} of {clients} clients finished, with {reconnects} broken connections"
        );
        let expected = u64::from(clients) * u64::from(joined.rounds);
        let updates = joined.updates;
        ensure!(
            updates == expected,
            "{updates} updates count, expected {expected}"
        );
        let micros = |seconds: f64| 1e6 * seconds / updates as f64;
        Ok(Figures {
            joined,
            idle_before,
            idle_after,
            peak: memory.peak,
            server_micros: micros(after.0 - before.0),
            stubs_micros: micros(after.1 - before.1),
        })
    }
}
