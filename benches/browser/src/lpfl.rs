//! Our learner at the work, alone or with its share of each batch.

use std::ops::Range;

use fl_core::soft_labels::softmax;
use learner::{BaseModel, Example, Gradient, Learner, Noise, Trainer, peft};

use crate::work::{Files, Work, batch};
use crate::{Error, Result};

/// Steps of the schedule, which is constant: more than are ever taken.
const STEPS: u32 = 1_000_000;

/// Our learner with a work's model, adapter and batches.
#[derive(Debug)]
pub struct Lpfl {
    work: Work,
    first: Learner,
    trainer: Trainer,
    batches: Vec<Vec<Example>>,
}

impl Lpfl {
    /// Reads the work.
    ///
    /// # Errors
    /// A file that does not fit, or a text that the learner encodes in another way than the work.
    pub fn new(files: &Files) -> Result<Self> {
        let work = files.work()?;
        let base = BaseModel::from_bytes(files.config, files.tokenizer, files.weights)?;
        let adapter = peft::read(&base, files.adapter_config, files.adapter)?.adapter;
        let mut learner = Learner::new(base, &work.task, &work.lora)?;
        learner.load(&adapter)?;
        let examples = work.batches.iter().map(|batch| {
            let prompts = batch.prompts.iter();
            let examples = prompts.map(|prompt| {
                let encoded = learner.encode(&prompt.text);
                let got = encoded.prompts().first().map(|cloze| cloze.ids());
                if got != Some(&prompt.ids) {
                    return Err(Error::Encoding {
                        text: prompt.text.clone(),
                        expected: prompt.ids.clone(),
                        got: got.unwrap_or_default().to_vec(),
                    });
                }
                Ok(Example::gold(encoded, prompt.label, learner.labels()))
            });
            examples.collect::<Result<Vec<_>>>()
        });
        Ok(Self {
            batches: examples.collect::<Result<_>>()?,
            trainer: Trainer::new(learner.clone(), &work.training, STEPS),
            first: learner,
            work,
        })
    }

    /// Back to the first adapter, with a fresh optimizer.
    pub fn reset(&mut self) {
        self.trainer = Trainer::new(self.first.clone(), &self.work.training, STEPS);
    }

    /// The probability of each label of these prompts of the batch of this number.
    ///
    /// # Errors
    /// A batch that the work does not have, or a computation that fails.
    pub fn infer(&self, number: usize, part: Range<usize>) -> Result<Vec<f32>> {
        let examples = self.part(number, part)?;
        let texts: Vec<_> = examples
            .iter()
            .map(|example| example.encoded.clone())
            .collect();
        let scores = self.first.scores(&texts)?;
        Ok(scores
            .iter()
            .flat_map(|scores| softmax(scores, 1.0))
            .collect())
    }

    /// A step on the batch of this number; its loss before the step.
    ///
    /// # Errors
    /// A batch that the work does not have, or a computation that fails.
    pub fn train(&mut self, number: usize) -> Result<f32> {
        let examples = batch(&self.batches, number)?;
        Ok(self.trainer.step(examples)?.loss)
    }

    /// The gradient of these prompts of the batch of this number: their loss, their weight, and
    /// the values of every matrix in the order of the names.
    ///
    /// # Errors
    /// A batch that the work does not have, or a computation that fails.
    pub fn gradient(&self, number: usize, part: Range<usize>) -> Result<Vec<f32>> {
        let noise = Noise {
            step: self.trainer.steps(),
            ..Noise::default()
        };
        let learner = self.trainer.learner();
        let gradient = learner.training_gradient(self.part(number, part)?, noise)?;
        let mut numbers = vec![gradient.loss, gradient.weight];
        let matrices = gradient.matrices.matrices.into_values();
        numbers.extend(matrices.flat_map(|matrix| matrix.values));
        Ok(numbers)
    }

    /// A step along the weighted mean of two workers' gradients; the mean loss.
    ///
    /// # Errors
    /// Gradients of another model.
    pub fn apply(&mut self, one: &[f32], other: &[f32]) -> Result<f32> {
        let mut matrices = self.trainer.learner().adapter();
        let values = matrices.matrices.values();
        let expected = 2 + values.map(|matrix| matrix.values.len()).sum::<usize>();
        for gradient in [one, other] {
            let got = gradient.len();
            if got != expected {
                return Err(Error::Gradient { expected, got });
            }
        }
        let weight = one[1] + other[1];
        let (share, rest) = (one[1] / weight, other[1] / weight);
        let mut means = one.iter().zip(other).map(|(a, b)| a * share + b * rest);
        let loss = means.next().unwrap_or_default();
        let values = matrices.matrices.values_mut();
        for (value, mean) in values
            .flat_map(|matrix| &mut matrix.values)
            .zip(means.skip(1))
        {
            *value = mean;
        }
        let gradient = Gradient {
            loss,
            weight,
            matrices,
        };
        Ok(self.trainer.apply(gradient)?.loss)
    }

    fn part(&self, number: usize, part: Range<usize>) -> Result<&[Example]> {
        let examples = batch(&self.batches, number)?;
        let end = part.end.min(examples.len());
        Ok(&examples[part.start.min(end)..end])
    }
}
