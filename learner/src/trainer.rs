//! Training steps: gradient, clipping, AdamW at the schedule's rate.

use fl_core::adapter::Adapter;
use fl_core::settings::TrainingSettings;

use crate::Result;
use crate::dropout::Noise;
use crate::error::LearnerError;
use crate::learner::Learner;
use crate::optimizer::{AdamW, clip_norm};
use crate::prompt::Encoded;
use crate::schedule::Schedule;

/// One text to train on. Cheap to clone but for the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The prompt.
    pub encoded: Encoded,
    /// Probability of each label, in the task's order: one-hot for a gold label.
    pub target: Vec<f32>,
    /// Weight of this example's loss against the others'.
    pub weight: f32,
}

impl Example {
    /// An example with a label that is certain, and weight 1.
    pub fn gold(encoded: Encoded, label: usize, labels: usize) -> Self {
        let one_hot = |index| if index == label { 1.0 } else { 0.0 };
        Self {
            encoded,
            target: (0..labels).map(one_hot).collect(),
            weight: 1.0,
        }
    }
}

/// Loss and gradient of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// The batch's weighted mean loss.
    pub loss: f32,
    /// Sum of the batch's weights: what this gradient counts in a mean of several.
    pub weight: f32,
    /// The gradient of every matrix of the adapter.
    pub matrices: Adapter,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// The batch's loss before the step.
    pub loss: f32,
    /// L2 norm of the gradient before clipping.
    pub gradient_norm: f32,
    /// The learning rate used.
    pub learning_rate: f32,
}

/// Trains a learner's adapter with a fresh optimizer.
#[derive(Clone, Debug)]
pub struct Trainer {
    learner: Learner,
    optimizer: AdamW,
    schedule: Schedule,
    clip_norm: f32,
    noise: Noise,
    steps: u32,
}

impl Trainer {
    /// A trainer for `total_steps` steps, from the adapter that the learner has loaded.
    pub fn new(learner: Learner, settings: &TrainingSettings, total_steps: u32) -> Self {
        Self {
            optimizer: AdamW::new(settings, &learner.adapter()),
            schedule: Schedule::new(settings, total_steps),
            clip_norm: settings.clip_norm,
            noise: Noise::default(),
            steps: 0,
            learner,
        }
    }

    /// The trainer with dropout drawn from a seed of its own: a room's, and an index that tells
    /// its clients and rounds apart.
    pub fn seeded(mut self, seed: u32, index: u64) -> Self {
        (self.noise.seed, self.noise.index) = (seed, index);
        self
    }

    /// One step on one batch.
    ///
    /// # Errors
    /// Those of [`Learner::gradient`] and [`Self::apply`].
    pub fn step(&mut self, batch: &[Example]) -> Result<StepResult> {
        let noise = Noise {
            step: self.steps,
            ..self.noise
        };
        let gradient = self.learner.training_gradient(batch, noise)?;
        self.apply(gradient)
    }

    /// One step along a gradient that was made elsewhere, for this learner's adapter.
    ///
    /// # Errors
    /// [`LearnerError::Adapter`] for a gradient of another layout or with values that are not
    /// finite; the adapter is as before then.
    pub fn apply(&mut self, mut gradient: Gradient) -> Result<StepResult> {
        self.learner.layout().check(&gradient.matrices)?;
        let gradient_norm = clip_norm(&mut gradient.matrices, self.clip_norm);
        if !gradient_norm.is_finite() {
            let what = "gradient norm";
            return Err(LearnerError::Diverged {
                what,
                got: gradient_norm,
            });
        }
        let learning_rate = self.schedule.rate(self.steps);
        let optimizer = &mut self.optimizer;
        self.learner
            .update(|adapter| optimizer.step(adapter, &gradient.matrices, learning_rate));
        self.steps += 1;
        Ok(StepResult {
            loss: gradient.loss,
            gradient_norm,
            learning_rate,
        })
    }

    /// Steps taken.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// The learner, with the adapter as trained so far.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// The learner, with the adapter as trained so far.
    pub fn into_learner(self) -> Learner {
        self.learner
    }
}
