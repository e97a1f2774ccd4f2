//! `lpfl model`: base models on this machine, before a server offers them.

mod checksum;
mod fetch;
mod hub;
mod info;
mod merge;
mod transfer;

use anyhow::Result;
use clap::Subcommand;

/// Look at base models, fetch them, and merge adapters into them.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print what a model directory holds, and what LoRA would add to it
    Info(info::Arguments),
    /// Fetch a model from the Hugging Face hub
    Fetch(fetch::Arguments),
    /// Merge an adapter into its base model
    Merge(merge::Arguments),
}

/// Runs the command to its end.
pub fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Info(arguments) => info::run(&arguments),
        Command::Fetch(arguments) => fetch::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
    }
}
