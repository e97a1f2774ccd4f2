//! The demo's federation: five clients, the bundled reviews, a room's default settings.

use std::path::Path;

use anyhow::{Context as _, Result};
use fl_core::adapter::Adapter;
use fl_core::aggregate::WeightedMean;
use fl_core::settings::RoomSettings;
use learner::{BaseModel, Encoded, Learner, LocalClient, Outcome, Step, texts};
use serde_json::json;

use super::parallel;
use super::report::Line;

/// The name of this measurement.
pub const SET: &str = "reviews";

const CLIENTS: u32 = 5;

/// The bundled reviews.
pub struct Texts {
    train: Vec<u8>,
    test: Vec<u8>,
}

impl Texts {
    /// Reads both files.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(corpora: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = corpora.join(SET).join(name);
            std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        Ok(Self {
            train: read("train.csv")?,
            test: read("test.csv")?,
        })
    }
}

/// Accuracy on the held-out reviews before the first round, after half of the rounds, and at the
/// end.
///
/// # Errors
/// When a client's work fails.
pub fn measure(base: &BaseModel, texts: &Texts, seeds: u32) -> Result<Vec<Line>> {
    let runs = parallel::each(seeds, |seed| {
        let settings = RoomSettings {
            seed,
            ..RoomSettings::default()
        };
        run(base, texts, &settings)
    })?;
    let settings = RoomSettings::default();
    let rounds = settings.round.rounds as usize;
    let line = |round: usize| {
        let accuracies: Vec<f64> = runs.iter().map(|run| run.accuracies[round]).collect();
        let detail = json!({"clients": CLIENTS, "rounds": round});
        let gold = runs.first().map_or(0, |run| run.gold);
        Line::new(SET, gold, "lp-fl", &accuracies, runs[0].texts, detail)
    };
    Ok([0, rounds / 2, rounds].map(line).into())
}

struct Run {
    /// After each round; the first is before any.
    accuracies: Vec<f64>,
    gold: u32,
    texts: usize,
}

fn run(base: &BaseModel, content: &Texts, settings: &RoomSettings) -> Result<Run> {
    let mut clients = (0..CLIENTS)
        .map(|shard| LocalClient::new(base.clone(), settings, shard, &content.train))
        .collect::<Result<Vec<_>, _>>()?;
    let mut judge = Judge::new(base, content, settings)?;
    let mut global = judge.learner.initial_adapter(settings.seed);
    let mut accuracies = vec![judge.accuracy(&global)?];
    for round in 1..=settings.round.rounds {
        let mut sum = WeightedMean::new(global.layout());
        for client in &mut clients {
            client.adopt(&global)?;
            let outcome = work(client, round)?;
            sum.add(&outcome.adapter, f64::from(outcome.gold + outcome.soft));
        }
        global = sum.mean().context("no client had an example")?;
        accuracies.push(judge.accuracy(&global)?);
    }
    Ok(Run {
        accuracies,
        gold: clients.iter().map(LocalClient::gold).sum(),
        texts: judge.labels.len(),
    })
}

/// One client's work of one round.
pub fn work(client: &mut LocalClient, round: u32) -> Result<Outcome> {
    client.begin(round)?;
    loop {
        if let Step::Finished(outcome) = client.step()? {
            return Ok(outcome);
        }
    }
}

/// The held-out texts, as the server evaluates them.
struct Judge {
    learner: Learner,
    texts: Vec<Encoded>,
    labels: Vec<usize>,
}

impl Judge {
    fn new(base: &BaseModel, content: &Texts, settings: &RoomSettings) -> Result<Self> {
        let learner = Learner::new(base.clone(), &settings.task, &settings.lora)?;
        let rows = texts::read(&content.test, &settings.task)?.rows;
        let (texts, labels) = rows
            .iter()
            .filter_map(|row| Some((learner.encode(&row.text), row.label?)))
            .unzip();
        Ok(Self {
            learner,
            texts,
            labels,
        })
    }

    fn accuracy(&mut self, adapter: &Adapter) -> Result<f64> {
        self.learner.load(adapter)?;
        Ok(self
            .learner
            .evaluate(&self.texts, &self.labels)?
            .accuracy
            .into())
    }
}
