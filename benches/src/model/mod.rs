//! How accurate a base model is: before it has seen a label, with few labels, and in the demo's
//! federation.

mod cases;
mod data;
mod federation;
mod few_shot;
mod parallel;
mod report;
mod room;
mod tuning;

use std::path::PathBuf;

use anyhow::Result;
use server::ModelFolder;

use cases::Case;
use few_shot::{Bench, Method};
use report::Report;

/// What to measure, and how thoroughly.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory of the base model
    #[arg(long, value_name = "DIR", default_value = "models/default")]
    model: PathBuf,
    /// Where the data sets lie, as archives NAME.tar.xz or unpacked
    #[arg(long, value_name = "DIR", default_value = "../shared/data")]
    data: PathBuf,
    /// Where the bundled texts lie
    #[arg(long, value_name = "DIR", default_value = "corpora")]
    corpora: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Repetitions, each with other labelled texts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// Most test texts of a set, drawn at random
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..))]
    texts: u32,
    /// Measure only this set (repeatable): sst2, imdb, mr, agnews, yelp5, trec, reviews
    #[arg(long = "set", value_name = "NAME")]
    sets: Vec<String>,
}

impl Arguments {
    fn wants(&self, set: &str) -> bool {
        self.sets.is_empty() || self.sets.iter().any(|name| name == set)
    }
}

/// Measures everything that was asked for, and prints each figure as soon as it is known.
///
/// # Errors
/// A model, data set or set name that cannot be used.
pub fn run(arguments: &Arguments) -> Result<()> {
    cases::check_names(&arguments.sets)?;
    let base = ModelFolder::open(&arguments.model)?.load()?;
    let name = arguments.model.file_name().unwrap_or_default();
    let mut report = Report::new(name.to_string_lossy().into_owned(), arguments.json);
    for set in cases::sets()? {
        if !arguments.wants(set.name) {
            continue;
        }
        let Some(data) = data::open(&arguments.data, &set, arguments.texts)? else {
            report.absent(set.name, &arguments.data);
            continue;
        };
        let bench = Bench::new(&base, &set, &data, arguments.seeds);
        for case in &set.cases {
            match *case {
                Case::ZeroShot => report.lines(bench.zero_shot()?),
                Case::Lora { labels } => {
                    report.lines([bench.trained(labels, &Method::default_lora())?]);
                }
                Case::Room { labels } => report.lines([room::measure(&bench, labels)?]),
                Case::Tuned { labels } => report.lines(tuning::compare(&bench, labels)?),
            }
        }
    }
    if arguments.wants(federation::SET) {
        let texts = federation::Texts::read(&arguments.corpora)?;
        report.lines(federation::measure(&base, &texts, arguments.seeds)?);
    }
    Ok(())
}
