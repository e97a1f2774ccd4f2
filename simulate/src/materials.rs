//! What an experiment works on: a model, a task and texts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fl_core::random::{Purpose, generator};
use fl_core::task::Task;
use learner::BaseModel;
use learner::texts::Row;
use rand::seq::SliceRandom as _;
use sha2::{Digest, Sha256};

use crate::document::one_line;
use crate::error::Result;
use crate::experiment::Split;
use crate::plan::Point;

/// Model, task and texts of one point, as they were read.
#[derive(Clone, Debug)]
pub struct Materials {
    /// The base model.
    pub base: BaseModel,
    /// A digest of the base model's files, so that a run is not gone on with on another.
    pub model_digest: String,
    /// The task, by [`Point::task`].
    pub task: Task,
    /// Texts to train on.
    pub train: Arc<Vec<Row>>,
    /// Their values in the column that they are dealt by, by their lines; empty where there is
    /// none.
    pub column: BTreeMap<u64, String>,
    /// Texts to measure on.
    pub test: Arc<Vec<Row>>,
    /// Texts to choose settings with, where there is a file of them.
    pub validation: Option<Arc<Vec<Row>>>,
}

/// Texts with labels, as a run uses them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Corpus {
    /// Texts to train on.
    pub(crate) train: Vec<Row>,
    /// Their labels.
    pub(crate) labels: Vec<usize>,
    /// The numbers of their values in the column that they are dealt by, where they are.
    pub(crate) groups: Vec<usize>,
    /// Texts to measure on.
    pub(crate) held_out: Vec<Row>,
    /// Their labels.
    pub(crate) held_out_labels: Vec<usize>,
}

impl Point {
    /// The task that the point asks for: `base` is the one that its `from` names, or the corpus's.
    ///
    /// # Errors
    /// A field that a task does not have, or that is out of its range.
    pub fn task(&self, base: Option<Task>) -> Result<Task> {
        let mut fields = match base {
            None => toml::Table::new(),
            Some(base) => toml::Table::try_from(base)
                .map_err(|error| self.refuse("task", one_line(&error.to_string())))?,
        };
        let asked = self.experiment.task.iter();
        for (key, value) in asked.filter(|(key, _)| *key != "from") {
            fields.insert(key.clone(), value.clone());
        }
        let task: Task = toml::Value::Table(fields)
            .try_into()
            .map_err(|error: toml::de::Error| self.refuse("task", one_line(error.message())))?;
        task.check().map_err(|error| {
            let message = format!("expected {}, got {}", error.expected, error.got);
            self.refuse(&error.field, message)
        })?;
        Ok(task)
    }
}

impl Corpus {
    /// The labelled texts, as many as the point takes, the same whatever the seed.
    ///
    /// # Errors
    /// Too few texts for what the point asks.
    pub(crate) fn new(point: &Point, materials: &Materials) -> Result<Self> {
        let data = &point.experiment.data;
        let mut train = labelled(&materials.train);
        let mut held_out = match (point.experiment.evaluation.on, &materials.validation) {
            (Split::Test, _) => labelled(&materials.test),
            (Split::Validation, Some(rows)) => labelled(rows),
            (Split::Validation, None) => Vec::new(),
        };
        if materials.validation.is_none() && data.held_out > 0 {
            shuffle(&mut train);
            let most = train.len() / 2;
            if data.held_out as usize > most {
                let message = format!(
                    "expected at most half of the {} labelled training texts, got {}",
                    train.len(),
                    data.held_out
                );
                return Err(point.refuse("data.held_out", message));
            }
            let end = train.split_off(train.len() - data.held_out as usize);
            if point.experiment.evaluation.on == Split::Validation {
                held_out = end;
            }
        }
        draw(&mut train, data.train_texts);
        draw(&mut held_out, data.test_texts);
        let without = |texts: &str| {
            let column = &materials.task.label_column;
            format!(
                "expected {texts} texts with one of the task's labels in the column {column:?}, got none"
            )
        };
        if train.is_empty() {
            return Err(point.refuse("data.train", without("training")));
        }
        match point.experiment.evaluation.on {
            _ if !held_out.is_empty() => {}
            Split::Test => return Err(point.refuse("data.test", without("test"))),
            Split::Validation if materials.validation.is_some() => {
                return Err(point.refuse("data.validation", without("validation")));
            }
            Split::Validation => {
                let message = "expected validation texts: name data.validation, or data.held_out \
                               training texts";
                return Err(point.refuse("data", message));
            }
        }
        let (train, labels): (Vec<Row>, Vec<usize>) = train.into_iter().unzip();
        let groups = match materials.column.is_empty() {
            true => Vec::new(),
            false => groups(&train, &materials.column),
        };
        let (held_out, held_out_labels) = held_out.into_iter().unzip();
        Ok(Self {
            train,
            labels,
            groups,
            held_out,
            held_out_labels,
        })
    }

    /// A hash of every text and label, so that a run is not gone on with on others.
    pub(crate) fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        let train = self.train.iter().zip(&self.labels);
        let held_out = self.held_out.iter().zip(&self.held_out_labels);
        for (row, label) in train.chain(held_out) {
            for text in row.texts() {
                digest.update((text.len() as u64).to_le_bytes());
                digest.update(text.as_bytes());
            }
            digest.update((*label as u64).to_le_bytes());
        }
        let digest = digest.finalize();
        digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// The number of each text's value among all of them; texts without one are together.
fn groups(train: &[Row], column: &BTreeMap<u64, String>) -> Vec<usize> {
    let values: BTreeSet<&String> = column.values().collect();
    let numbers: BTreeMap<&String, usize> = values.into_iter().zip(1..).collect();
    let number = |row: &Row| column.get(&row.line).map_or(0, |value| numbers[value]);
    train.iter().map(number).collect()
}

fn labelled(rows: &[Row]) -> Vec<(Row, usize)> {
    let labelled = rows
        .iter()
        .filter_map(|row| Some((row.clone(), row.label?)));
    labelled.collect()
}

fn shuffle(texts: &mut [(Row, usize)]) {
    texts.shuffle(&mut generator(0, Purpose::Partition, 1));
}

/// Leaves at most `most` texts, drawn at random; all for 0.
fn draw(texts: &mut Vec<(Row, usize)>, most: u32) {
    if most > 0 && texts.len() > most as usize {
        shuffle(texts);
        texts.truncate(most as usize);
    }
}
