//! What every engine is given, in files that Rust, JavaScript and Python read.

use fl_core::settings::{LoraSettings, TrainingSettings};
use fl_core::task::Task;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// `work.json`: the task, the settings, and the batches that are trained on and asked in turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    /// MINI, SMALL or REAL.
    pub name: String,
    /// Pattern and labels.
    pub task: Task,
    /// Shape of the adapter.
    pub lora: LoraSettings,
    /// The factor before B · A.
    pub scale: f32,
    /// AdamW's numbers.
    pub training: TrainingSettings,
    /// Token ids of each label's words.
    pub words: Vec<Vec<u32>>,
    /// The batches.
    pub batches: Vec<Batch>,
}

/// The prompts of one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The prompts.
    pub prompts: Vec<Prompt>,
}

/// A text in the task's pattern.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Prompt {
    /// The text alone.
    pub text: String,
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Position of the mask token.
    pub mask: usize,
    /// Position of its label in the task.
    pub label: usize,
}

/// The contents of a work's folder.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// `work.json`, a [`Work`]
    pub work: &'a [u8],
    /// `config.json`
    pub config: &'a [u8],
    /// `tokenizer.json`
    pub tokenizer: &'a [u8],
    /// `model.safetensors`
    pub weights: &'a [u8],
    /// `adapter_config.json`
    pub adapter_config: &'a [u8],
    /// `adapter_model.safetensors`: where training begins, and what is merged for asking
    pub adapter: &'a [u8],
}

impl Files<'_> {
    /// The work that the files describe.
    ///
    /// # Errors
    /// A `work.json` of another version.
    pub fn work(&self) -> Result<Work> {
        Ok(serde_json::from_slice(self.work)?)
    }
}

/// The batch of this number.
pub(crate) fn batch<T>(batches: &[T], asked: usize) -> Result<&T> {
    let have = batches.len();
    batches.get(asked).ok_or(Error::Batch { have, asked })
}
