//! Several rooms of one server at the same time, each with a few clients.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::RANK;
use super::process::{Joined, join};
use super::room::{Room, settings};
use super::service::Service;

/// How long joining may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many rooms, with how many clients each, for how long.
#[derive(Clone, Copy, Debug)]
pub struct Rooms {
    pub rooms: u32,
    pub clients: u32,
    pub rounds: u32,
}

/// What the rooms came to.
#[derive(Clone, Debug)]
pub struct Figures {
    pub load: Rooms,
    /// Of all rooms together, from the first order to the last adapter of the slowest.
    pub updates_per_s: f64,
    /// The 99th percentile from report to receipt in each room, in milliseconds: of the room in the
    /// middle, and of the worst.
    pub acknowledge_p99_ms: (f64, f64),
    /// How long all rounds took the fastest room and the slowest.
    pub seconds: (f64, f64),
}

impl Rooms {
    /// Runs server and stubs, a process of them for each room.
    ///
    /// # Errors
    /// A client that was dropped, and whatever stops the programs.
    pub fn measure(self, program: &Path) -> Result<Figures> {
        let Self {
            rooms,
            clients,
            rounds,
        } = self;
        let service = Service::one(program)?;
        let url = service.urls().next().context("no process")?;
        let mut settings = settings(clients, RANK);
        settings.round.rounds = rounds;
        let mut opened = Vec::new();
        for _ in 0..rooms {
            let room = Room::open(url, &settings)?;
            let stubs = join(program, url, &room.code, clients)?;
            opened.push((room, stubs));
        }
        for (room, _) in &opened {
            room.wait("joining", PATIENCE, |view| view.ready == clients)?;
        }
        for (room, _) in &opened {
            room.command("start")?;
        }
        let joined: Vec<Joined> = opened
            .into_iter()
            .map(|(_, stubs)| stubs.answer())
            .collect::<Result<_>>()?;
        for room in &joined {
            let expected = u64::from(clients) * u64::from(rounds);
            let (updates, reconnects) = (room.updates, room.reconnects);
            ensure!(
                updates == expected && reconnects == 0,
                "{updates} updates count, expected {expected}, with {reconnects} broken connections"
            );
        }
        let sorted = |value: fn(&Joined) -> f64| {
            let mut values: Vec<f64> = joined.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            (
                values[0],
                values[values.len() / 2],
                values[values.len() - 1],
            )
        };
        let (fastest, _, slowest) = sorted(|room| room.seconds);
        let (_, middle, worst) = sorted(|room| room.latency_ms.acknowledge.p99);
        let updates: u64 = joined.iter().map(|room| room.updates).sum();
        Ok(Figures {
            load: self,
            updates_per_s: updates as f64 / slowest,
            acknowledge_p99_ms: (middle, worst),
            seconds: (fastest, slowest),
        })
    }
}
