//! `lpfl`: federated learning of language models in browser tabs, from one binary.

mod evaluate;
mod inputs;
mod join;
mod model;
mod open_files;
mod progress;
mod replay;
mod serve;
mod simulate;
mod task;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// Thousands of updates come and go in a round: freed memory goes back to the system soon.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

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
    settle_threads();
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

/// Says how many threads candle may use, where the environment does not.
///
/// One for element-wise work, which candle otherwise spreads over threads that wait by spinning
/// and take the cores from rooms, clients and experiments beside it. For matrix products as many
/// as there are cores: candle would read /proc/cpuinfo at each of them to find out.
#[expect(unsafe_code, reason = "candle has no other switch")]
fn settle_threads() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for (name, threads) in [("CANDLE_NUM_THREADS", 1), ("RAYON_NUM_THREADS", cores)] {
        if std::env::var_os(name).is_none() {
            // SAFETY: the program has no other thread yet that could read the environment.
            unsafe { std::env::set_var(name, threads.to_string()) };
        }
    }
}
