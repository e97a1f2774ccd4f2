//! What one server process bears: thousands of sockets, updates a second, many rooms, memory, on NATS,
//! against Flower.

mod aggregate;
mod flower;
mod load;
mod process;
mod report;
mod room;
mod rooms;
mod service;

use std::path::PathBuf;

use anyhow::{Result, ensure};

use load::Load;
use report::Report;
use rooms::Rooms;
use service::Service;

/// Rank that gives an adapter 65,536 parameters.
const RANK: u32 = 16;
/// Ranks of the comparison with Flower: a room's own, unless it is told otherwise, and [`RANK`].
const PEER_RANKS: [u32; 2] = [8, RANK];

/// What to measure, and how thoroughly.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// A short run: fewer clients and rounds
    #[arg(long)]
    quick: bool,
    /// Sockets in one room; 5000 unless --quick
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    clients: Option<u32>,
    /// Clients of the comparison with Flower, whose server holds at most 1000
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(2..=900))]
    peer_clients: u32,
    /// Rooms at once, each with --room-clients
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=30))]
    rooms: u32,
    /// Clients of each of the rooms
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    room_clients: u32,
    /// Processes that share the load on NATS
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=16))]
    processes: u32,
    /// NATS's server; without it, one process alone is measured
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// Measure the rooms alone
    #[arg(long, conflicts_with = "only_several")]
    only_rooms: bool,
    /// Measure one process against several alone
    #[arg(long, requires = "nats_server")]
    only_several: bool,
    /// Measure the comparison with Flower alone
    #[arg(long, conflicts_with_all = ["only_rooms", "only_several", "no_peer"])]
    only_peer: bool,
    /// Leave Flower out
    #[arg(long)]
    no_peer: bool,
    /// The program that serves and joins
    #[arg(long, value_name = "FILE", default_value = "target/release/lpfl")]
    program: PathBuf,
    /// Python's program and what it needs
    #[arg(long, value_name = "DIR", default_value = "benches/server/python")]
    python: PathBuf,
    /// Where Flower is installed
    #[arg(long, value_name = "DIR", default_value = "target/server-bench")]
    scratch: PathBuf,
}

impl Arguments {
    fn sockets(&self) -> u32 {
        self.clients.unwrap_or(if self.quick { 500 } else { 5000 })
    }

    /// Rounds, fewer in a quick run.
    fn rounds(&self, thorough: u32) -> u32 {
        if self.quick {
            thorough.div_ceil(5)
        } else {
            thorough
        }
    }

    /// The same load on one process and on several, as far as there is NATS.
    fn measure_sockets(&self, report: Report) -> Result<()> {
        let program = &self.program;
        let load = Load {
            clients: self.sockets(),
            rounds: self.rounds(10),
            rank: RANK,
        };
        let one = load.measure(program, &Service::one(program)?)?;
        report.load(&one);
        let Some(nats_server) = &self.nats_server else {
            report.left_out("several processes: there is no nats-server");
            return Ok(());
        };
        let service = Service::several(program, nats_server, self.processes)?;
        let several = load.measure(program, &service)?;
        report.load(&several);
        report.several(&one, &several);
        Ok(())
    }

    /// The same number of clients and parameters here and with Flower.
    fn measure_peer(&self, report: Report) -> Result<()> {
        let flower = match self.no_peer {
            true => None,
            false => Some(flower::Flower::install(&self.python, &self.scratch)?),
        };
        for rank in PEER_RANKS {
            let few = Load {
                clients: self.peer_clients,
                rounds: self.rounds(50),
                rank,
            };
            let ours = few.measure(&self.program, &Service::one(&self.program)?)?;
            report.load(&ours);
            if let Some(flower) = &flower {
                let theirs = flower.measure(few.clients, ours.parameters(), self.rounds(10))?;
                report.peer(&ours, &theirs);
            }
        }
        Ok(())
    }

    /// Many rooms, one with as many clients as they have in all, and one as small as each of them.
    fn measure_rooms(&self, report: Report) -> Result<()> {
        let (rooms, clients) = (self.rooms, self.room_clients);
        let rounds = self.rounds(100);
        for (rooms, clients) in [(rooms, clients), (1, rooms * clients), (1, clients)] {
            let rooms = Rooms {
                rooms,
                clients,
                rounds,
            };
            report.rooms(&rooms.measure(&self.program)?);
        }
        Ok(())
    }
}

/// Measures everything, and prints each figure as soon as it is known.
///
/// # Errors
/// A program that is missing or fails, and clients that were dropped.
pub fn run(arguments: &Arguments) -> Result<()> {
    let program = &arguments.program;
    ensure!(
        program.is_file(),
        "{} is missing; start this as `cargo xtask bench server`, which builds it",
        program.display()
    );
    let report = Report {
        as_json: arguments.json,
    };
    if arguments.only_rooms {
        return arguments.measure_rooms(report);
    }
    if arguments.only_peer {
        return arguments.measure_peer(report);
    }
    if arguments.only_several {
        return arguments.measure_sockets(report);
    }
    report.aggregate(&aggregate::measure(arguments.rounds(25)));
    arguments.measure_sockets(report)?;
    arguments.measure_rooms(report)?;
    arguments.measure_peer(report)
}
