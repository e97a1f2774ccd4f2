//! `lpfl simulate`: an experiment file run with simulated clients on all cores.

mod materials;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use simulate::{Document, Observer, Plan, Workers};

use materials::Reader;

/// Run an experiment with simulated clients.
///
/// The rounds go through the machines of a room and its clients, on a virtual clock, and every
/// client does the real local work. DIR gets results.json, rounds.csv, summary.csv, report.html,
/// report.md (printed, too) and plots as SVG; of several runs each also has a folder of its own. A
/// run that was interrupted goes on from its last round when the same command is given again.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Experiment file (TOML); experiments/ has some
    config: PathBuf,
    /// Set one setting, on top of the file: training.learning_rate=0.001. Can be given several
    /// times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Run once with each of these values: lora.rank=2,4,8; of a file's cases, those named. Given
    /// several times, every choice of one value each
    #[arg(long = "sweep", value_name = "KEY=V1,V2,…")]
    sweeps: Vec<String>,
    /// Folder for the results; made when it is missing, refused when it holds something else
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// CSV that a row is added to for each run, beside DIR's own
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Pieces of work at once; 0 for one a core. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// Runs the command to its end.
pub fn run(arguments: &Arguments) -> Result<()> {
    let document = Document::open(&arguments.config)?;
    let plan = Plan::new(&document, &arguments.sets, &arguments.sweeps)?;
    if let Some(summary) = &arguments.summary
        // That folder may still have to be made.
        && (!summary.starts_with(&arguments.out) || summary.exists())
    {
        simulate::check_summary(summary).context("--summary")?;
    }
    let mut reader = Reader::beside(&arguments.config);
    let bar = Bar::new();
    let workers = Workers::new(arguments.threads);
    let results = simulate::launch(&plan, &arguments.out, &workers, &mut reader, &bar);
    bar.0.finish_and_clear();
    let results = results?;
    print!("{}", results.tables());
    println!("{}", arguments.out.join("report.html").display());
    if let Some(summary) = &arguments.summary {
        results.append_summary(summary).context("--summary")?;
    }
    Ok(())
}

/// A bar over all rounds; hidden where nobody would see it.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::no_length().with_message("checking");
        let template = "{msg} {wide_bar} {pos} of {len} rounds, {eta} left";
        Self(match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        })
    }
}

impl Observer for Bar {
    fn begin(&self, rounds: u64) {
        self.0.set_length(rounds);
        self.0.set_message("simulating");
    }

    fn resumed(&self, rounds: u64) {
        self.0.inc(rounds);
        // What was done before says nothing about the time that the rest takes.
        self.0.reset_eta();
    }

    fn advanced(&self) {
        self.0.inc(1);
    }
}
