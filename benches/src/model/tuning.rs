//! LoRA against all parameters, each with the settings that a validation split prefers.

use anyhow::{Context as _, Result};
use fl_core::settings::{LoraSettings, TrainingSettings};
use learner::Tuning;

use super::few_shot::{Bench, Method};
use super::report::Line;

/// As many candidates for the one as for the other: a rival that was not tuned is no rival.
const LORA_RATES: [f32; 4] = [3e-4, 1e-3, 2e-3, 4e-3];
const FULL_RATES: [f32; 4] = [1e-5, 3e-5, 1e-4, 3e-4];
const EPOCHS: [u32; 2] = [4, 10];

/// Both methods with `labels` gold texts, tuned on the validation texts, measured on the test.
///
/// # Errors
/// When training fails.
pub fn compare(bench: &Bench<'_>, labels: u32) -> Result<Vec<Line>> {
    let lora = Tuning::Lora(LoraSettings::default());
    let methods = [
        ("lora-tuned", lora, LORA_RATES),
        ("full-tuned", Tuning::Full, FULL_RATES),
    ];
    methods
        .into_iter()
        .map(|(name, tuning, rates)| {
            let best = best(bench, labels, candidates(name, &tuning, rates))?;
            bench.trained(labels, &best)
        })
        .collect()
}

fn candidates(
    name: &'static str,
    tuning: &Tuning,
    rates: [f32; 4],
) -> impl Iterator<Item = Method> {
    EPOCHS.into_iter().flat_map(move |epochs| {
        rates.map(|learning_rate| Method {
            name,
            tuning: tuning.clone(),
            training: TrainingSettings {
                learning_rate,
                epochs,
                ..TrainingSettings::default()
            },
        })
    })
}

/// The method with the highest accuracy on the validation texts; the first of equals.
fn best(
    bench: &Bench<'_>,
    labels: u32,
    candidates: impl Iterator<Item = Method>,
) -> Result<Method> {
    let mut best: Option<(f64, Method)> = None;
    for method in candidates {
        let accuracy = bench.validated(labels, &method)?;
        if best.as_ref().is_none_or(|(highest, _)| accuracy > *highest) {
            best = Some((accuracy, method));
        }
    }
    best.map(|(_, method)| method)
        .context("there is no candidate")
}
