//! Sockets that all take part in every round of one room.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::process::{Joined, Running, join};
use super::room::{Room, is_paused, settings};
use super::service::Service;

/// How long anything may take that should take seconds.
const PATIENCE: Duration = Duration::from_secs(600);
/// Time in which memory settles.
const REST: Duration = Duration::from_secs(3);

/// How many take part, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub clients: u32,
    pub rounds: u32,
    /// Of LoRA, on the bundled model: its adapter has 8 matrices of 256 × 2 × rank parameters.
    pub rank: u32,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Processes that served the room.
    pub processes: usize,
    pub joined: Joined,
    /// Server memory per connected client that does nothing: before the first round.
    pub idle_before: u64,
    /// The same after the last one.
    pub idle_after: u64,
    /// Most memory of the server, of several processes the sum.
    pub peak: u64,
    /// Processor time of the server, NATS included, for one update.
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
    /// Runs the stubs, as many on each process.
    ///
    /// # Errors
    /// A client that was dropped, and whatever stops the programs.
    pub fn measure(self, program: &Path, service: &Service) -> Result<Figures> {
        let Self {
            clients,
            rounds,
            rank,
        } = self;
        let mut urls = service.urls();
        let processes = urls.len();
        let room = Room::open(urls.next().context("no process")?, &settings(clients, rank))?;
        sleep(REST);
        let empty = service.memory()?.now;
        let stubs = self.join(program, service, &room.code)?;
        room.wait("joining", PATIENCE, |view| view.ready == clients)?;
        sleep(REST);
        let per_client = |bytes: u64| bytes.saturating_sub(empty) / u64::from(clients);
        let idle_before = per_client(service.memory()?.now);
        let time = || -> Result<(f64, f64)> {
            let stubs: Result<f64> = stubs.iter().map(Running::processor_seconds).sum();
            Ok((service.processor_seconds()?, stubs?))
        };
        let before = time()?;
        room.command("start")?;
        room.wait("the rounds", PATIENCE, |view| view.completed + 1 >= rounds)?;
        room.command("pause")?;
        room.wait("the last round", PATIENCE, is_paused)?;
        let after = time()?;
        sleep(REST);
        let memory = service.memory()?;
        let idle_after = per_client(memory.now);
        room.command("finish")?;
        let joined: Result<Vec<Joined>> = stubs.into_iter().map(Running::answer).collect();
        let joined = Joined::together(joined?).context("no stubs")?;
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
            processes,
            joined,
            idle_before,
            idle_after,
            peak: memory.peak,
            server_micros: micros(after.0 - before.0),
            stubs_micros: micros(after.1 - before.1),
        })
    }

    /// A program of stubs for each process; what does not divide goes to the first ones.
    fn join(self, program: &Path, service: &Service, room: &str) -> Result<Vec<Running>> {
        let urls = service.urls();
        let processes = u32::try_from(urls.len())?;
        ensure!(
            processes <= self.clients,
            "{processes} processes want at least as many clients, got {}",
            self.clients
        );
        let (each, rest) = (self.clients / processes, self.clients % processes);
        (0..)
            .zip(urls)
            .map(|(process, url)| join(program, url, room, each + u32::from(process < rest)))
            .collect()
    }
}
