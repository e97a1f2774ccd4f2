//! `lpfl evaluate`: how well a model, with or without an adapter, labels the texts of a file.

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;
use fl_core::task::{Calibration, Task};
use learner::peft::PeftAdapter;
use learner::texts::Row;
use learner::{BaseModel, Encoded, Evaluation, Learner, Tally};
use serde::Serialize;

use crate::task::file::TaskFile;
use crate::{inputs, progress};

/// Texts that are scored between two moves of the progress bar.
const TEXTS_AT_ONCE: usize = 32;

/// Measure a model on labelled texts and print one JSON object.
///
/// It holds accuracy, macro F1, loss (mean cross-entropy in nats), count, labels and the confusion
/// matrix, by true label and then by predicted label. Rows without a label are not counted.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder of the base model: config.json, tokenizer.json and model.safetensors
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// PEFT folder of an adapter for it: adapter_config.json and adapter_model.safetensors
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Task file, or one of reviews, ratings, stars, news, subjectivity, questions
    #[arg(long, value_name = "FILE")]
    task: PathBuf,
    /// CSV, TSV or JSONL with the task's columns, by default `text` and `label`
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// What is subtracted from the label scores, unless the task file decides: nothing, the scores
    /// of a text without content, or the usual scores of the file's texts, whose labels it does
    /// not look at
    #[arg(long, value_enum, value_name = "HOW")]
    calibrate: Option<Calibrate>,
}

/// [`Calibration`] as the command line spells it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Calibrate {
    None,
    ContentFree,
    Unlabelled,
}

impl From<Calibrate> for Calibration {
    fn from(calibrate: Calibrate) -> Self {
        match calibrate {
            Calibrate::None => Self::None,
            Calibrate::ContentFree => Self::ContentFree,
            Calibrate::Unlabelled => Self::Unlabelled,
        }
    }
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    task: &'a str,
    calibration: Calibration,
    labels: Vec<&'a str>,
    #[serde(flatten)]
    evaluation: Evaluation,
    /// Rows that were not counted: bad ones, and those without a label.
    left_out: usize,
}

/// Runs the command to its end.
pub fn run(arguments: Arguments) -> Result<()> {
    let file = TaskFile::open(&arguments.task)?;
    let mut task = file.task.clone();
    if let Some(calibrate) = arguments.calibrate {
        task.calibration = calibrate.into();
    }
    let texts = inputs::texts(&arguments.data, &task)?;
    let labelled = texts.rows.iter().filter(|row| row.label.is_some()).count();
    if labelled == 0 {
        let (data, column) = (arguments.data.display(), &task.label_column);
        return Err(anyhow!(
            "{data}: expected texts with a label in the column {column:?}, got none"
        ));
    }
    let base = inputs::base_model(&arguments.model)?;
    let folder = arguments.adapter.as_deref();
    let adapter = folder
        .map(|folder| inputs::adapter(&base, folder))
        .transpose()?;
    let evaluation = measure(&base, adapter.as_ref(), &task, &texts.rows);
    let evaluation = evaluation.context(file.name().to_owned())?;
    let report = Report {
        task: &task.name,
        calibration: task.calibration,
        labels: task.labels.iter().map(|label| &*label.name).collect(),
        evaluation,
        left_out: texts.rows.len() - labelled + texts.problems.len() + texts.more_problems,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// The model's quality on the labelled rows, calibrated, where the task says so, on all of them
/// and, as in a room, without the adapter.
///
/// # Errors
/// A label word that is not one token of the model, or a pattern that leaves no room for text.
pub fn measure(
    base: &BaseModel,
    adapter: Option<&PeftAdapter>,
    task: &Task,
    rows: &[Row],
) -> Result<Evaluation> {
    let lora = adapter.map(|adapter| adapter.lora.clone());
    let mut learner = Learner::new(base.clone(), task, &lora.unwrap_or_default())?;
    let texts: Vec<Encoded> = rows.iter().map(|row| learner.encode_row(row)).collect();
    learner.calibrate(learner.prior(&texts)?)?;
    if let Some(adapter) = adapter {
        learner.load(&adapter.adapter)?;
    }
    let labelled = rows.iter().zip(texts);
    let (texts, labels): (Vec<Encoded>, Vec<usize>) = labelled
        .filter_map(|(row, text)| Some((text, row.label?)))
        .unzip();
    let bar = progress::bar(texts.len(), "evaluating");
    let mut tally = Tally::new(learner.labels());
    for (texts, labels) in texts
        .chunks(TEXTS_AT_ONCE)
        .zip(labels.chunks(TEXTS_AT_ONCE))
    {
        tally.add(&learner.scores(texts)?, labels)?;
        bar.inc(texts.len() as u64);
    }
    bar.finish_and_clear();
    Ok(tally.evaluation())
}
