//! Reads the model, the task and the texts that an experiment names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Error, Result, anyhow};
use fl_core::partition::Partition;
use fl_core::task::Task;
use learner::BaseModel;
use learner::texts::{self, Row};
use server::ModelFolder;
use server::bundled::{self, BundledCorpus};
use simulate::{Loader, Materials, Point, SimulateError};

use crate::inputs;
use crate::task::file::TaskFile;

/// Reads files relative to an experiment's own.
pub struct Reader {
    folder: PathBuf,
    /// The model read last, which most often the next point names too.
    model: Option<(Option<PathBuf>, BaseModel, String)>,
    /// Every file of texts that was read, by its path and the task that it was read for.
    texts: BTreeMap<(PathBuf, String), Arc<Vec<Row>>>,
}

impl Reader {
    /// For the experiment file at this path.
    pub fn beside(file: &Path) -> Self {
        Self {
            folder: file.parent().map(Path::to_owned).unwrap_or_default(),
            model: None,
            texts: BTreeMap::new(),
        }
    }

    /// The base model, and the digest of its files.
    fn base(&mut self, model: Option<&PathBuf>) -> Result<(BaseModel, String)> {
        if let Some((known, base, digest)) = &self.model
            && known.as_ref() == model
        {
            return Ok((base.clone(), digest.clone()));
        }
        let (base, digest) = match model {
            Some(model) => {
                let folder = ModelFolder::open(&self.folder.join(model))?;
                (folder.load()?, folder.digest()?)
            }
            None => bundled::base_model()?
                .zip(bundled::model_digest())
                .ok_or_else(|| anyhow!("this program has no model of its own; set model"))?,
        };
        self.model = Some((model.cloned(), base.clone(), digest.clone()));
        Ok((base, digest))
    }

    /// The task that `from` names: a file, else a shipped one.
    fn task(&self, from: &str) -> Result<Task> {
        let beside = self.folder.join(from);
        let path = match beside.is_file() {
            true => beside,
            false => from.into(),
        };
        Ok(TaskFile::open(&path)?.task)
    }

    /// A file's texts; several points that name it share them.
    fn rows(&mut self, path: &Path, task: &Task) -> Result<Arc<Vec<Row>>> {
        let key = (self.folder.join(path), serde_json::to_string(task)?);
        if let Some(known) = self.texts.get(&key) {
            return Ok(Arc::clone(known));
        }
        let rows = Arc::new(inputs::texts(&key.0, task)?.rows);
        self.texts.insert(key, Arc::clone(&rows));
        Ok(rows)
    }

    /// The values of a column of the training texts, by their lines.
    fn column(
        &self,
        column: &str,
        corpus: Option<&BundledCorpus>,
        point: &Point,
    ) -> Result<BTreeMap<u64, String>> {
        let read;
        let content = match (corpus, &point.experiment.data.train) {
            (Some(corpus), _) => &corpus.train,
            (None, Some(train)) => {
                let path = self.folder.join(train);
                read = std::fs::read(&path).with_context(|| path.display().to_string())?;
                &read
            }
            (None, None) => return Ok(BTreeMap::new()),
        };
        texts::column(content, column).map_err(|error| {
            point
                .refuse("deal.partition.column", error.to_string())
                .into()
        })
    }

    fn read(&mut self, point: &Point) -> Result<Materials> {
        let data = &point.experiment.data;
        let corpus = match &data.corpus {
            None => None,
            Some(name) => Some(bundled::corpus(name)?.map_err(|names| {
                let message = format!("expected one of {}, got {name}", names.join(", "));
                point.refuse("data", message)
            })?),
        };
        let from = point.experiment.task.get("from");
        let named = match from.map(|from| (from, from.as_str())) {
            None if point.experiment.task.contains_key("patterns") => None,
            None => Some(
                corpus
                    .as_ref()
                    .map(|corpus| corpus.task.clone())
                    .ok_or_else(|| {
                        point.refuse("task", "expected a task for these texts, got none")
                    })?,
            ),
            Some((_, Some(from))) => Some(self.task(from).map_err(wrong(point, "task.from"))?),
            Some((from, None)) => {
                let message = format!("expected a task's name or file, got {from}");
                return Err(point.refuse("task.from", message).into());
            }
        };
        let task = point.task(named)?;
        let (train, test) = match (&corpus, &data.train, &data.test) {
            (Some(corpus), ..) => {
                let read = |content: &[u8]| bundled_rows(point, content, &task);
                (read(&corpus.train)?, read(&corpus.test)?)
            }
            (None, Some(train), Some(test)) => {
                let train = self
                    .rows(train, &task)
                    .map_err(wrong(point, "data.train"))?;
                let test = self.rows(test, &task).map_err(wrong(point, "data.test"))?;
                (train, test)
            }
            // Its settings were checked.
            (None, ..) => return Err(anyhow!("the experiment names no texts")),
        };
        let column = match &point.experiment.deal.partition {
            Partition::Column { column } => self.column(column, corpus.as_ref(), point)?,
            _ => BTreeMap::new(),
        };
        let validation = data.validation.as_ref();
        let validation = validation
            .map(|path| {
                self.rows(path, &task)
                    .map_err(wrong(point, "data.validation"))
            })
            .transpose()?;
        let model = point.experiment.model.as_ref();
        let (base, model_digest) = self.base(model).map_err(wrong(point, "model"))?;
        Ok(Materials {
            base,
            model_digest,
            task,
            train,
            column,
            test,
            validation,
        })
    }
}

/// The error of what a setting names, with the setting's place.
fn wrong(point: &Point, key: &'static str) -> impl Fn(Error) -> SimulateError {
    move |error| point.refuse(key, format!("{error:#}"))
}

/// A bundled corpus's texts, whose labels all have to be the task's.
fn bundled_rows(point: &Point, content: &[u8], task: &Task) -> Result<Arc<Vec<Row>>> {
    let texts = texts::read(content, task).map_err(|error| wrong(point, "task")(error.into()))?;
    match texts.problems.first() {
        None => Ok(Arc::new(texts.rows)),
        Some(problem) => {
            let more = texts.problems.len() - 1 + texts.more_problems;
            let message = format!(
                "expected a task for the texts of {}, but line {} does not fit: {} ({more} more)",
                point.experiment.data.title(),
                problem.line,
                problem.message
            );
            Err(point.refuse("task", message).into())
        }
    }
}

impl Loader for Reader {
    fn load(&mut self, point: &Point) -> simulate::Result<Materials> {
        self.read(point).map_err(|error| match error.downcast() {
            Ok(known) => known,
            Err(error) => SimulateError::Load(format!("{error:#}")),
        })
    }
}
