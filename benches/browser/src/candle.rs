//! Plain candle at the work.

use candle_nn::ParamsAdamW;
use plain_candle::{Batch, Settings, Trainer};

use crate::Result;
use crate::work::{Files, batch};

/// Plain candle with a work's model, adapter and batches.
#[derive(Debug)]
pub struct Candle {
    trainer: Trainer,
    batches: Vec<Batch>,
}

impl Candle {
    /// Reads the work.
    ///
    /// # Errors
    /// A file that does not fit.
    pub fn new(files: &Files) -> Result<Self> {
        let work = files.work()?;
        let training = &work.training;
        let settings = Settings {
            scale: work.scale.into(),
            words: work.words.clone(),
            optimizer: ParamsAdamW {
                lr: training.learning_rate.into(),
                beta1: training.beta1.into(),
                beta2: training.beta2.into(),
                eps: training.epsilon.into(),
                weight_decay: training.weight_decay.into(),
            },
        };
        let batches = work.batches.iter().map(|batch| {
            let prompts = batch.prompts.iter();
            Batch::new(prompts.map(|prompt| (prompt.ids.as_slice(), prompt.mask, prompt.label)))
        });
        Ok(Self {
            trainer: Trainer::new(files.config, files.weights, files.adapter, settings)?,
            batches: batches.collect::<Result<_, _>>()?,
        })
    }

    /// Back to the first adapter, with a fresh optimizer.
    ///
    /// # Errors
    /// When memory is short.
    pub fn reset(&mut self) -> Result<()> {
        Ok(self.trainer.reset()?)
    }

    /// The probability of each label, prompt by prompt, of the batch of this number.
    ///
    /// # Errors
    /// A batch that the work does not have, or a computation that fails.
    pub fn infer(&self, number: usize) -> Result<Vec<f32>> {
        Ok(self.trainer.probabilities(batch(&self.batches, number)?)?)
    }

    /// A step on the batch of this number; its loss before the step.
    ///
    /// # Errors
    /// A batch that the work does not have, or a computation that fails.
    pub fn train(&mut self, number: usize) -> Result<f32> {
        Ok(self.trainer.step(batch(&self.batches, number)?)?)
    }
}
