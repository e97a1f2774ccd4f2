//! `lpfl`: federated learning of language models in browser tabs, from one binary.

mod evaluate;
mod inputs;
mod join;
mod model;
mod progress;
mod replay;
mod serve;
mod simulate;
mod task;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Federated learning of small language models in browser tabs.
#[derive(Debug, Parser)]
#[command(name = "lpfl", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the page, the rooms and the models
    Serve(serve::Arguments),
    /// Take part in a room with clients of this machine
    Join(join::JoinArguments),
    /// Look at base models, and fetch them
    Model(model::Arguments),
    /// Measure a model on labelled texts
    Evaluate(evaluate::Arguments),
    /// Run an experiment with simulated clients
    Simulate(simulate::Arguments),
    /// Compute the rounds that a server recorded once more
    Replay(replay::Arguments),
    /// Look at task files
    Task(task::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(arguments),
        Command::Join(arguments) => join::run(arguments),
        Command::Model(arguments) => model::run(arguments),
        Command::Evaluate(arguments) => evaluate::run(arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Task(arguments) => task::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lpfl: {error:#}");
            ExitCode::FAILURE
        }
    }
}
