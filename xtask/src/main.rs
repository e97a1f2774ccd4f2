//! `cargo xtask`: builds, starts and tests lpfl with one command, for people and CI alike.

mod api;
mod arguments;
mod bench;
mod binary;
mod chaos;
mod checks;
mod fingerprint;
mod first_step;
mod fuzz;
mod interop;
mod page;
mod report;
mod speed;
mod steps;
mod tools;
mod versions;
mod wasm;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use arguments::Task;
use report::Report;
use workspace::Workspace;

fn main() -> ExitCode {
    let steps: Vec<_> = checks::names().collect();
    let task = match arguments::parse(std::env::args().skip(1), &steps) {
        Ok(task) => task,
        Err(usage) => {
            eprintln!("xtask: {usage}; `cargo xtask help` lists the commands");
            return ExitCode::from(2);
        }
    };
    match perform(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> anyhow::Result<()> {
    let workspace = Workspace::locate()?;
    match task {
        Task::Help => {
            println!("{}", arguments::HELP);
            Ok(())
        }
        Task::Build => build(&workspace).map(drop),
        Task::Demo { flags } => binary::serve(&build(&workspace)?, &flags),
        Task::Bench { arguments } => bench::run(&workspace, &arguments),
        Task::Chaos { form, seed } => {
            let _claim = workspace.claim()?;
            let mut report = Report::new(&workspace);
            steps::build(&workspace, &mut report)?;
            chaos::run(&workspace, &mut report, form, seed)
        }
        Task::Fuzz { target, minutes } => fuzz::run(&workspace, target.as_deref(), minutes),
        Task::Test { selection } => {
            let _claim = workspace.claim()?;
            let mut report = Report::new(&workspace);
            let outcome = checks::run(&workspace, &mut report, &selection);
            report.print_summary();
            outcome
        }
    }
}

fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let _claim = workspace.claim()?;
    steps::build(workspace, &mut Report::new(workspace))
}
