//! Accuracy of a room with one client and default settings: all its rounds, with soft labels.

use std::fmt::Write as _;

use anyhow::Result;
use fl_core::partition::Deal;
use fl_core::settings::{RoomSettings, Texts};
use learner::LocalClient;
use serde_json::json;

use super::data::Labelled;
use super::federation::work;
use super::few_shot::Bench;
use super::parallel;
use super::report::Line;

/// Unlabelled texts that the client holds: few enough that the rounds take minutes.
const UNLABELLED: u32 = 200;

/// After a room's rounds with `labels` gold texts and [`UNLABELLED`] others.
///
/// # Errors
/// When the client's work fails.
pub fn measure(bench: &Bench<'_>, labels: u32) -> Result<Line> {
    let task = &bench.set.task;
    let content = file(&bench.data.train, |label| &task.labels[label].name);
    let settings = |seed| RoomSettings {
        task: task.clone(),
        texts: Texts::Corpus {
            corpus: bench.set.name.into(),
            deal: Deal {
                gold: labels,
                unlabelled: UNLABELLED,
                ..Deal::default()
            },
        },
        seed,
        ..RoomSettings::default()
    };
    let accuracies = parallel::each(bench.seeds, |seed| {
        let settings = settings(seed);
        let mut client = LocalClient::new(bench.base.clone(), &settings, 0, content.as_bytes())?;
        for round in 1..=settings.round.rounds {
            let outcome = work(&mut client, round)?;
            client.adopt(&outcome.adapter)?;
        }
        bench.accuracy(client.learner(), &bench.data.test)
    })?;
    let RoomSettings {
        round,
        training,
        soft_labels,
        ..
    } = settings(0);
    let detail = json!({
        "clients": 1,
        "rounds": round.rounds,
        "unlabelled": UNLABELLED,
        "soft_labels": soft_labels.growth,
        "learning_rate": training.learning_rate,
        "epochs": training.epochs,
        "max_tokens": task.max_tokens,
        "calibration": task.calibration,
    });
    let (set, texts) = (bench.set.name, bench.data.test.len());
    Ok(Line::new(set, labels, "lp-fl", &accuracies, texts, detail))
}

/// Texts as a client reads them, one JSON object a line.
fn file<'a>(texts: &Labelled, name: impl Fn(usize) -> &'a str) -> String {
    texts
        .iter()
        .fold(String::new(), |mut lines, (text, label)| {
            let line = json!({ "text": text, "label": name(*label) });
            // Writing to a String does not fail.
            let _ = writeln!(lines, "{line}");
            lines
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_reads_what_is_written_for_it() {
        let texts = vec![
            ("one, \"two\"\nthree".to_owned(), 1),
            ("four".to_owned(), 0),
        ];
        let task = fl_core::task::Task::reviews();
        let content = file(&texts, |label| &task.labels[label].name);
        let read = super::super::data::labelled(content.as_bytes(), &task).unwrap();
        assert_eq!(read, texts);
    }
}
