//! The corpora that this server deals out, and their tasks.

use bytes::Bytes;
use fl_core::task::Task;
use learner::texts;
use serde::Serialize;

use crate::assets::{self, Corpora as Embedded};
use crate::error::ServerError;

/// A corpus as clients are told of it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CorpusInfo {
    /// Its name in settings and paths.
    pub(crate) name: &'static str,
    /// Its name for people.
    pub(crate) title: &'static str,
    /// The task that its labels are for.
    pub(crate) task: Task,
    /// Texts to train on.
    pub(crate) train: usize,
    /// Held-out texts.
    pub(crate) test: usize,
}

/// A corpus.
#[derive(Debug)]
pub(crate) struct Corpus {
    /// What clients are told.
    pub(crate) info: CorpusInfo,
    /// `train.csv`
    pub(crate) train: Bytes,
    /// `test.csv`
    pub(crate) test: Bytes,
}

/// All corpora of the binary.
#[derive(Debug)]
pub(crate) struct Corpora(Vec<Corpus>);

impl Corpora {
    /// Reads and counts the bundled corpora; one that the binary lacks is left out.
    pub(crate) fn open() -> Result<Self, ServerError> {
        let shipped = [
            ("reviews", "Reviews", Task::reviews()),
            ("news", "News topics", Task::news()),
        ];
        let mut corpora = Vec::new();
        for (name, title, task) in shipped {
            let embedded = |file| Embedded::get(&format!("{name}/{file}")).map(assets::content);
            let (Some(train), Some(test)) = (embedded("train.csv"), embedded("test.csv")) else {
                continue;
            };
            let count = |bytes: &[u8]| match texts::read(bytes, &task) {
                Ok(texts) => Ok(texts.rows.len()),
                Err(error) => Err(ServerError::Corpus { name, error }),
            };
            let info = CorpusInfo {
                train: count(&train)?,
                test: count(&test)?,
                name,
                title,
                task,
            };
            corpora.push(Corpus { info, train, test });
        }
        Ok(Self(corpora))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Corpus> {
        self.0.iter().find(|corpus| corpus.info.name == name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Corpus> {
        self.0.iter()
    }
}
