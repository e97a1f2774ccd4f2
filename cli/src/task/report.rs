//! What a check of a task found, for people and as JSON.

use std::fmt::Write as _;

use fl_core::task::{Calibration, Task};
use learner::{Evaluation, Proposal};
use serde::Serialize;

/// What a check found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The task's name.
    pub task: String,
    /// Its labels.
    pub labels: Vec<CheckedLabel>,
    /// Texts that were looked at.
    pub texts: usize,
    /// Quality of the untrained model on them, where they have labels and the words are good.
    pub zero_shot: Vec<ZeroShot>,
}

/// A label and its words.
#[derive(Debug, Serialize)]
pub struct CheckedLabel {
    /// Its name.
    pub name: String,
    /// Its words.
    pub words: Vec<WordCheck>,
    /// Words that separate its texts from the others, best first.
    pub proposals: Vec<Proposal>,
}

/// A label word.
#[derive(Debug, Serialize)]
pub struct WordCheck {
    /// The word.
    pub word: String,
    /// The tokens that it splits into, where it is not one.
    pub splits: Option<Vec<String>>,
}

/// Quality under one calibration.
#[derive(Debug, Serialize)]
pub struct ZeroShot {
    /// The calibration, on the same texts where it needs some.
    pub calibration: Calibration,
    /// The quality.
    #[serde(flatten)]
    pub evaluation: Evaluation,
}

impl Report {
    /// The words that are not one token: their label's position, the word, its tokens.
    pub fn bad_words(&self) -> impl Iterator<Item = (usize, &str, &[String])> {
        let labels = self.labels.iter().enumerate();
        labels.flat_map(|(index, label)| {
            let words = label.words.iter();
            words.filter_map(move |word| Some((index, &*word.word, word.splits.as_deref()?)))
        })
    }
}

/// One line on a task: its name here, its title, its labels.
pub fn summary(name: &str, task: &Task) -> String {
    let labels: Vec<&str> = task.labels.iter().map(|label| &*label.name).collect();
    format!("{name:<14}{}: {}", task.name, labels.join(", "))
}

/// The report in words.
pub fn words(report: &Report, file: &str) -> String {
    let mut text = format!("{file}: {}, {} labels\n", report.task, report.labels.len());
    for label in &report.labels {
        text += &label_lines(label);
    }
    if report.texts > 0 {
        text += &format!("\n{} texts looked at\n", report.texts);
    }
    for ZeroShot {
        calibration,
        evaluation,
    } in &report.zero_shot
    {
        let how = match calibration {
            Calibration::None => "not calibrated",
            Calibration::ContentFree => "calibrated without content",
            Calibration::Unlabelled => "calibrated on these texts",
        };
        let (accuracy, f1) = (evaluation.accuracy * 100.0, evaluation.macro_f1 * 100.0);
        let _ = writeln!(
            text,
            "  untrained, {how:<27} accuracy {accuracy:5.1} %, macro F1 {f1:5.1} %, loss {:.3}",
            evaluation.loss
        );
    }
    text
}

fn label_lines(label: &CheckedLabel) -> String {
    let words: Vec<String> = label.words.iter().map(word).collect();
    let mut text = format!("\n{}\n  words: {}\n", label.name, words.join(", "));
    if !label.proposals.is_empty() {
        text += "  words that separate its texts best (separation, probability):\n";
    }
    for proposal in &label.proposals {
        let Proposal {
            word,
            separation,
            probability,
        } = proposal;
        let _ = writeln!(text, "    {word:<16}{separation:6.2}  {probability:.5}");
    }
    text
}

fn word(check: &WordCheck) -> String {
    match &check.splits {
        None => check.word.clone(),
        Some(splits) => format!("{} (splits into {})", check.word, splits.join(" ")),
    }
}
