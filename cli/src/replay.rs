//! `lpfl replay`: the rounds of a recorded server, computed once more.

use std::path::PathBuf;

use anyhow::{Result, bail};
use fl_core::codec::encode_text;
use server::recording::{Recording, Replayed, ReplayedRound};

/// Compute the rounds that a server recorded once more, and compare the adapters' hashes.
///
/// `lpfl serve --record` keeps every update that counts. The same updates in the same order make
/// the same adapter: this shows it for every round, natively and without the server. Ends with 1
/// when a round comes to something else.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Data folder of the server, which may be running
    #[arg(value_name = "DIR")]
    data_dir: PathBuf,
    /// Code of the room; all rooms when it is not given
    #[arg(long, value_name = "CODE")]
    room: Option<String>,
    /// Print one JSON object a round
    #[arg(long)]
    json: bool,
}

/// Runs the command to its end.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recording = Recording::open(&arguments.data_dir)?;
    let mut rooms = recording.rooms()?;
    if let Some(wanted) = &arguments.room {
        let wanted = wanted.trim().to_ascii_uppercase();
        if !rooms.contains(&wanted) {
            bail!(
                "--room: expected one of [{}], got {wanted}",
                rooms.join(", ")
            );
        }
        rooms = vec![wanted];
    }
    let (mut same, mut wrong) = (0, 0);
    for room in rooms {
        recording.replay(&room, |round| {
            match round.outcome {
                Replayed::Same => same += 1,
                Replayed::Differs { .. } | Replayed::Failed { .. } => wrong += 1,
                Replayed::NotRecorded | Replayed::NoBase => {}
            }
            match arguments.json {
                true => println!("{}", encode_text(&round)),
                false => println!("{}", words(&round)),
            }
        })?;
    }
    match (same, wrong) {
        (0, 0) => bail!(
            "{}: no round was recorded; start the server with --record",
            arguments.data_dir.display()
        ),
        (_, 0) => Ok(()),
        _ => bail!("rounds that come to something else than the room made: {wrong}"),
    }
}

fn words(round: &ReplayedRound) -> String {
    let ReplayedRound {
        room,
        round,
        updates,
        hash,
        outcome,
    } = round;
    let outcome = match outcome {
        Replayed::Same => format!("{updates} updates make {hash}, as in the room"),
        Replayed::Differs { got } => format!("{updates} updates make {got}, the room made {hash}"),
        Replayed::Failed { reason } => format!("{updates} updates make nothing: {reason}"),
        Replayed::NotRecorded => "not recorded".into(),
        Replayed::NoBase => format!("{updates} updates, but it is not known where they began"),
    };
    format!("room {room}, round {round}: {outcome}")
}
