//! `lpfl task`: what a task file asks, and whether a model can answer it.

mod check;
pub mod file;
mod report;
mod shipped;

use anyhow::Result;
use clap::Subcommand;

/// Look at task files: which labels there are, and how the model is asked for them.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check a task file, alone or for a model and labelled texts
    Check(check::Arguments),
    /// List the tasks that come with this program
    List,
}

/// Runs the command to its end.
pub fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Check(arguments) => check::run(&arguments),
        Command::List => {
            for (name, text) in shipped::TASKS {
                let file = file::TaskFile::parse(name, text.as_bytes())?;
                println!("{}", report::summary(name, &file.task));
            }
            Ok(())
        }
    }
}
