//! `lpfl task check`: a task file against itself, a model's vocabulary and labelled texts.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use fl_core::task::{Calibration, Task};
use learner::texts::{Row, Texts};
use learner::{BaseModel, Encoded, Proposal, WordSearch};

use super::file::TaskFile;
use super::report::{self, CheckedLabel, Report, WordCheck, ZeroShot};
use crate::evaluate::measure;
use crate::{inputs, progress};

/// Most texts that are looked at, spread over the file.
const MOST_TEXTS: usize = 1000;
/// Words that are proposed for each label.
const PROPOSALS: usize = 10;
/// Texts that are scored between two moves of the progress bar.
const TEXTS_AT_ONCE: usize = 16;

/// Check a task file.
///
/// With a model, also whether each label word is one token of its vocabulary. With labelled texts,
/// also which words would stand for the labels better, and how the untrained model does.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Task file, or one of reviews, ratings, stars, news, subjectivity, questions
    file: PathBuf,
    /// Folder of a base model: config.json, tokenizer.json and model.safetensors
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// CSV, TSV or JSONL with the task's columns; up to 1,000 of its texts are looked at
    #[arg(long, value_name = "FILE", requires = "model")]
    data: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command to its end.
pub fn run(arguments: &Arguments) -> Result<()> {
    let file = TaskFile::open(&arguments.file)?;
    let texts = match &arguments.data {
        Some(data) => Some(inputs::texts(data, &file.task)?),
        None => None,
    };
    let model = arguments.model.as_deref();
    let base = model.map(inputs::base_model).transpose()?;
    let report = look(&file, base.as_ref(), texts.as_ref())?;
    match arguments.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{}", report::words(&report, file.name())),
    }
    complain(&file, &report)
}

/// Everything that can be said with what there is.
fn look(file: &TaskFile, base: Option<&BaseModel>, texts: Option<&Texts>) -> Result<Report> {
    let task = &file.task;
    let mut report = Report {
        task: task.name.clone(),
        labels: task.labels.iter().map(|l| checked(l, base)).collect(),
        texts: 0,
        zero_shot: Vec::new(),
    };
    let (Some(base), Some(texts)) = (base, texts) else {
        return Ok(report);
    };
    let rows = spread(&texts.rows);
    report.texts = rows.len();
    let proposals = propose(base, task, &rows).context(file.name().to_owned())?;
    for (label, proposals) in report.labels.iter_mut().zip(proposals) {
        label.proposals = proposals;
    }
    let labelled = rows.iter().any(|row| row.label.is_some());
    if labelled && report.bad_words().next().is_none() {
        report.zero_shot = zero_shot(base, task, &rows).context(file.name().to_owned())?;
    }
    Ok(report)
}

fn checked(label: &fl_core::task::Label, base: Option<&BaseModel>) -> CheckedLabel {
    let word = |word: &String| WordCheck {
        word: word.clone(),
        splits: base.and_then(|base| base.splits(word)),
    };
    CheckedLabel {
        name: label.name.clone(),
        words: label.words.iter().map(word).collect(),
        proposals: Vec::new(),
    }
}

/// At most [`MOST_TEXTS`], evenly spread, since files are often sorted by label.
fn spread(rows: &[Row]) -> Vec<Row> {
    let count = rows.len().min(MOST_TEXTS);
    let spread = (0..count).map(|index| rows[index * rows.len() / count].clone());
    spread.collect()
}

fn propose(base: &BaseModel, task: &Task, rows: &[Row]) -> Result<Vec<Vec<Proposal>>> {
    let mut search = WordSearch::new(base, task)?;
    let labelled = rows.iter().filter_map(|row| Some((row, row.label?)));
    let (texts, labels): (Vec<Encoded>, Vec<usize>) = labelled
        .map(|(row, label)| (search.encode_row(row), label))
        .unzip();
    let bar = progress::bar(texts.len(), "looking for words");
    for (texts, labels) in texts
        .chunks(TEXTS_AT_ONCE)
        .zip(labels.chunks(TEXTS_AT_ONCE))
    {
        search.add(texts, labels)?;
        bar.inc(texts.len() as u64);
    }
    bar.finish_and_clear();
    Ok(search.proposals(PROPOSALS))
}

fn zero_shot(base: &BaseModel, task: &Task, rows: &[Row]) -> Result<Vec<ZeroShot>> {
    let all = [
        Calibration::None,
        Calibration::ContentFree,
        Calibration::Unlabelled,
    ];
    let measured = all.map(|calibration| {
        let task = Task {
            calibration,
            ..task.clone()
        };
        let evaluation = measure(base, None, &task, rows)?;
        Ok(ZeroShot {
            calibration,
            evaluation,
        })
    });
    measured.into_iter().collect()
}

/// Fails with the first word that cannot stand for its label.
fn complain(file: &TaskFile, report: &Report) -> Result<()> {
    let Some((index, word, splits)) = report.bad_words().next() else {
        return Ok(());
    };
    let place = file.place(&format!("task.labels[{index}].words"));
    let splits = splits.join(" ");
    bail!(
        "{place}: expected words of one token each, got {word:?}, which splits into {splits}; \
         choose another word"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_from_the_whole_file() {
        let row = |line: u64| Row {
            line,
            text: "x".into(),
            second: None,
            label: None,
        };
        let rows: Vec<Row> = (0..4000).map(row).collect();
        let lines: Vec<u64> = spread(&rows).iter().map(|row| row.line).collect();
        assert_eq!((lines.len(), lines[1], lines[999]), (1000, 4, 3996));
        assert_eq!(spread(&rows[..5]), rows[..5]);
    }
}
