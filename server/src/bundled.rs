//! The model and the texts that the binary carries, for commands that need no server.

use fl_core::task::Task;
use learner::BaseModel;

use crate::corpora::Corpora;
use crate::error::ServerError;
use crate::models::Model;

/// A corpus that comes with the program.
#[derive(Clone, Debug)]
pub struct BundledCorpus {
    /// The task that its labels are for.
    pub task: Task,
    /// CSV of texts to train on.
    pub train: Vec<u8>,
    /// CSV of held-out texts.
    pub test: Vec<u8>,
}

/// The bundled base model; none where the binary was built without it.
///
/// # Errors
/// Files that are no model.
pub fn base_model() -> Result<Option<BaseModel>, ServerError> {
    Ok(Model::bundled()?.map(|model| model.base))
}

/// The SHA-256 of the bundled base model's files; none where the binary was built without it.
pub fn model_digest() -> Option<String> {
    Model::bundled_digest()
}

/// The bundled corpus of this name, or the names that there are.
///
/// # Errors
/// A corpus that cannot be read.
pub fn corpus(name: &str) -> Result<Result<BundledCorpus, Vec<&'static str>>, ServerError> {
    let corpora = Corpora::open()?;
    let Some(corpus) = corpora.find(name) else {
        return Ok(Err(corpora.iter().map(|corpus| corpus.info.name).collect()));
    };
    Ok(Ok(BundledCorpus {
        task: corpus.info.task.clone(),
        train: corpus.train.to_vec(),
        test: corpus.test.to_vec(),
    }))
}
