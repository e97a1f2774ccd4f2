//! Checks the engines against each other, then times them in turns.

use anyhow::{Context as _, Result, bail};

use super::engine::Engine;
use super::flops::{Kind, Sizes};
use super::works::Folder;

/// Passes over the batches whose results are compared.
const COMPARED: usize = 4;
/// Most difference of a probability between two engines.
const PROBABILITY: f32 = 1e-4;
/// Most difference of a loss, as a share of it.
const LOSS: f32 = 1e-3;

/// How thoroughly to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Timed runs of each engine.
    pub rounds: usize,
    /// Seconds that each of them is to take.
    pub seconds: f64,
    /// Seconds of work before the first of them: a browser runs large functions in a quick
    /// translation until the good one is there.
    pub warm_up: f64,
}

/// An engine that takes part.
pub struct Entry {
    pub engine: Box<dyn Engine>,
    pub name: &'static str,
    pub workers: u32,
    pub kinds: &'static [Kind],
}

/// An engine's speed at one kind of a work.
#[derive(Clone, Debug)]
pub struct Figure {
    pub work: &'static str,
    pub kind: Kind,
    pub engine: &'static str,
    pub workers: u32,
    pub sequences_per_second: f64,
    /// Billions of needed operations a second.
    pub gflops: f64,
}

/// One of the pairs that take part.
struct Runner<'a> {
    entry: &'a mut Entry,
    kind: Kind,
    steps: usize,
    seconds: Vec<f64>,
}

/// Measures every entry at every kind it does; `between` runs once a round.
///
/// # Errors
/// An engine that fails, or that computes something else than the first one.
pub fn measure(
    folder: &Folder,
    entries: &mut [Entry],
    effort: Effort,
    mut between: impl FnMut() -> Result<()>,
) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for kind in [Kind::Infer, Kind::Train] {
        let batches = folder.work.batches.len();
        compare(folder, entries, kind)?;
        let taking_part = entries
            .iter_mut()
            .filter(|entry| entry.kinds.contains(&kind));
        let mut runners = taking_part
            .map(|entry| Runner::warm(entry, kind, batches, effort))
            .collect::<Result<Vec<_>>>()?;
        for round in 0..effort.rounds {
            between()?;
            // To and fro, so that whoever follows a greedy neighbour changes.
            for place in 0..runners.len() {
                let place = match round % 2 {
                    0 => place,
                    _ => runners.len() - 1 - place,
                };
                runners[place].time()?;
            }
        }
        let figure = |runner: Runner| runner.figure(folder);
        figures.extend(runners.into_iter().map(figure));
    }
    Ok(figures)
}

/// Lets all engines do the first steps, and compares what they came to.
fn compare(folder: &Folder, entries: &mut [Entry], kind: Kind) -> Result<()> {
    let steps = match kind {
        Kind::Infer => folder.work.batches.len(),
        Kind::Train => COMPARED,
    };
    let mut expected: Option<(String, Vec<f32>)> = None;
    for entry in entries {
        if !entry.kinds.contains(&kind) {
            continue;
        }
        let label = label(entry.name, entry.workers);
        let what = format!("{} {} {label}", folder.work.name, kind.text());
        let probed = entry.engine.probe(kind, steps);
        let got = probed.with_context(|| what.clone())?;
        match &expected {
            None => expected = Some((label, got)),
            Some((other, expected)) => {
                if let Some(difference) = difference(kind, expected, &got) {
                    bail!("{what} differs from {other}: {difference}");
                }
            }
        }
    }
    Ok(())
}

/// The first number that is too far from what is expected, in words.
fn difference(kind: Kind, expected: &[f32], got: &[f32]) -> Option<String> {
    if expected.len() != got.len() {
        return Some(format!(
            "{} numbers, expected {}",
            got.len(),
            expected.len()
        ));
    }
    let is_far = |(_, (expected, got)): &(usize, (&f32, &f32))| {
        let limit = match kind {
            Kind::Infer => PROBABILITY,
            Kind::Train => LOSS * expected.abs(),
        };
        // What is no number is far from every number.
        let is_near = (*got - *expected).abs() <= limit;
        !is_near
    };
    let (index, (expected, got)) = expected.iter().zip(got).enumerate().find(is_far)?;
    let what = match kind {
        Kind::Infer => "probability",
        Kind::Train => "loss",
    };
    Some(format!("{what} {index} is {got}, expected {expected}"))
}

impl<'a> Runner<'a> {
    /// Warms the engine up and finds out how many steps fill a timed run.
    fn warm(entry: &'a mut Entry, kind: Kind, batches: usize, effort: Effort) -> Result<Self> {
        let (mut passes, mut spent) = (1, 0.0);
        loop {
            let seconds = entry.engine.run(kind, passes * batches)?;
            spent += seconds;
            let wanted = (passes as f64 * effort.seconds / seconds.max(1e-6)).round();
            if seconds >= effort.seconds / 2.0 && spent >= effort.warm_up {
                return Ok(Self {
                    entry,
                    kind,
                    steps: batches * (wanted as usize).max(1),
                    seconds: Vec::new(),
                });
            }
            passes = (wanted as usize).clamp(passes + 1, passes * 4);
        }
    }

    fn time(&mut self) -> Result<()> {
        let seconds = self.entry.engine.run(self.kind, self.steps)?;
        self.seconds.push(seconds);
        Ok(())
    }

    fn figure(self, folder: &Folder) -> Figure {
        let (sequences, operations) = step(folder, self.kind);
        let steps_per_second = self.steps as f64 / median(self.seconds);
        Figure {
            work: folder.name.text(),
            kind: self.kind,
            engine: self.entry.name,
            workers: self.entry.workers,
            sequences_per_second: steps_per_second * sequences,
            gflops: steps_per_second * operations / 1e9,
        }
    }
}

/// Sequences of a step, and the operations that they need, in the mean over the batches.
fn step(folder: &Folder, kind: Kind) -> (f64, f64) {
    let batches = &folder.work.batches;
    let prompts = || batches.iter().flat_map(|batch| &batch.prompts);
    let sizes: &Sizes = &folder.sizes;
    let operations: u64 = prompts()
        .map(|prompt| sizes.of(prompt.ids.len() as u64, kind))
        .sum();
    let count = batches.len() as f64;
    (prompts().count() as f64 / count, operations as f64 / count)
}

/// The middle one; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// An engine with its workers, for people.
pub fn label(engine: &str, workers: u32) -> String {
    match workers {
        1 => engine.to_owned(),
        _ => format!("{engine} × {workers}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_too_far_apart_are_named() {
        let far = |kind, expected: &[f32], got: &[f32]| difference(kind, expected, got);
        assert_eq!(far(Kind::Infer, &[0.5, 0.5], &[0.500_05, 0.499_95]), None);
        assert_eq!(
            far(Kind::Infer, &[0.5, 0.5], &[0.5, 0.501]),
            Some("probability 1 is 0.501, expected 0.5".into())
        );
        assert_eq!(far(Kind::Train, &[0.01], &[0.010_009]), None);
        assert_eq!(
            far(Kind::Train, &[0.01], &[0.011]),
            Some("loss 0 is 0.011, expected 0.01".into())
        );
        assert_eq!(
            far(Kind::Train, &[0.01], &[f32::NAN]),
            Some("loss 0 is NaN, expected 0.01".into())
        );
        assert_eq!(
            far(Kind::Train, &[0.01], &[]),
            Some("0 numbers, expected 1".into())
        );
    }

    #[test]
    fn median_is_the_middle_value() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
