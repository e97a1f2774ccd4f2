//! The measurements behind `cargo xtask bench`.

mod browser;
mod model;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "bench", about = "Measures lpfl")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Speed of training and asking in a browser tab, against others at the same work
    Browser(browser::Arguments),
    /// Accuracy of a base model: zero-shot, with few labels, and in a federation
    Model(model::Arguments),
    /// What one server process bears: sockets, updates a second, memory; against Flower
    Server(server::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().what {
        What::Browser(arguments) => browser::run(&arguments),
        What::Model(arguments) => model::run(&arguments),
        What::Server(arguments) => server::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
