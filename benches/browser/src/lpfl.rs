//! Our learner at the work, alone or with helpers.

use client_wasm::crew::{self, Helpers};
use fl_core::soft_labels::softmax;
use learner::{
    BaseModel, Batch, BatchRow, Encoded, Example, Job, JobResult, Learner, Noise, Place, Trainer,
    peft,
};

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
    /// The prompts of all batches.
    texts: Vec<Encoded>,
    batches: Vec<Vec<Example>>,
    /// Of each batch its first prompt among all.
    starts: Vec<usize>,
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
        let (mut texts, mut batches, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for batch in &work.batches {
            starts.push(texts.len());
            let mut examples = Vec::new();
            for prompt in &batch.prompts {
                let encoded = learner.encode(&prompt.text);
                let got = encoded.prompts().first().map(|cloze| cloze.ids());
                if got != Some(&prompt.ids) {
                    return Err(Error::Encoding {
                        text: prompt.text.clone(),
                        expected: prompt.ids.clone(),
                        got: got.unwrap_or_default().to_vec(),
                    });
                }
                texts.push(encoded.clone());
                examples.push(Example::gold(encoded, prompt.label, learner.labels()));
            }
            batches.push(examples);
        }
        Ok(Self {
            trainer: Trainer::new(learner.clone(), &work.training, STEPS),
            first: learner,
            work,
            texts,
            batches,
            starts,
        })
    }

    /// The learner with the first adapter.
    pub fn learner(&self) -> &Learner {
        &self.first
    }

    /// The prompts of all batches, which helpers have too.
    pub fn texts(&self) -> &[Encoded] {
        &self.texts
    }

    /// Back to the first adapter, with a fresh optimizer.
    pub fn reset(&mut self) {
        self.trainer = Trainer::new(self.first.clone(), &self.work.training, STEPS);
    }

    /// The probability of each label of each prompt of the batch of this number.
    ///
    /// # Errors
    /// A batch that the work does not have, or a computation that fails.
    pub fn infer(&self, number: usize) -> Result<Vec<f32>> {
        match self.first.run(&self.texts, &self.scoring(number)?)? {
            JobResult::Scores(scores) => Ok(probabilities(&scores)),
            JobResult::Gradient(_) => Err(Error::Result),
        }
    }

    /// The same with helpers.
    ///
    /// # Errors
    /// Those of [`Self::infer`].
    pub async fn infer_with(&self, number: usize, helpers: &impl Helpers) -> Result<Vec<f32>> {
        let job = self.scoring(number)?;
        match crew::share(&self.first, &self.texts, &job, helpers).await? {
            JobResult::Scores(scores) => Ok(probabilities(&scores)),
            JobResult::Gradient(_) => Err(Error::Result),
        }
    }

    /// A step on the batch of this number; its loss before the step.
    ///
    /// # Errors
    /// A batch that the work does not have, or a computation that fails.
    pub fn train(&mut self, number: usize) -> Result<f32> {
        let examples = batch(&self.batches, number)?;
        Ok(self.trainer.step(examples)?.loss)
    }

    /// The same with helpers.
    ///
    /// # Errors
    /// Those of [`Self::train`].
    pub async fn train_with(&mut self, number: usize, helpers: &impl Helpers) -> Result<f32> {
        let examples = batch(&self.batches, number)?;
        let places = Place::of_all(examples.iter().map(|example| &example.encoded));
        let row = |(text, (example, place)): (usize, (&Example, Place))| BatchRow {
            text: text as u32,
            target: example.target.clone(),
            weight: example.weight,
            place,
        };
        let pairs = (self.starts[number]..).zip(examples.iter().zip(places));
        let job = Job::Gradient(Batch {
            rows: pairs.map(row).collect(),
            noise: Noise {
                step: self.trainer.steps(),
                ..Noise::default()
            },
        });
        match crew::share(self.trainer.learner(), &self.texts, &job, helpers).await? {
            JobResult::Gradient(gradient) => Ok(self.trainer.apply(gradient)?.loss),
            JobResult::Scores(_) => Err(Error::Result),
        }
    }

    fn scoring(&self, number: usize) -> Result<Job> {
        let first = *batch(&self.starts, number)? as u32;
        let count = batch(&self.batches, number)?.len() as u32;
        Ok(Job::Scores((first..first + count).collect()))
    }
}

fn probabilities(scores: &[Vec<f32>]) -> Vec<f32> {
    let probabilities = scores.iter().map(|scores| softmax(scores, 1.0));
    probabilities.flatten().collect()
}
