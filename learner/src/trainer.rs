//! Training steps: gradient, clipping, AdamW at the schedule's rate.

use std::collections::BTreeMap;

use fl_core::adapter::Adapter;
use fl_core::aggregate::Trained;
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
    /// FedProx's μ, and where training began.
    proximal: Option<(f32, Adapter)>,
    trained: Trained,
    noise: Noise,
    steps: u32,
}

impl Trainer {
    /// A trainer for `total_steps` steps, from the adapter that the learner has loaded.
    pub fn new(learner: Learner, settings: &TrainingSettings, total_steps: u32) -> Self {
        let first = learner.adapter();
        Self {
            optimizer: AdamW::new(settings, &first),
            schedule: Schedule::new(settings, total_steps),
            clip_norm: settings.clip_norm,
            proximal: (settings.proximal > 0.0).then_some((settings.proximal, first)),
            trained: Trained::Both,
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

    /// The trainer with some matrices left as they are: fresh, before the first step.
    pub fn training(mut self, trained: Trained, settings: &TrainingSettings) -> Self {
        self.optimizer = AdamW::new(settings, &trained.part(self.learner.current()));
        self.trained = trained;
        self
    }

    /// One step on one batch.
    ///
    /// # Errors
    /// Those of [`Learner::gradient`] and [`Self::apply`].
    pub fn step(&mut self, batch: &[Example]) -> Result<StepResult> {
        let gradient = self.learner.training_gradient(batch, self.noise())?;
        self.apply(gradient)
    }

    /// Dropout's random numbers for the next step.
    pub fn noise(&self) -> Noise {
        Noise {
            step: self.steps,
            ..self.noise
        }
    }

    /// One step along a gradient that was made elsewhere, for this learner's adapter.
    ///
    /// # Errors
    /// [`LearnerError::Adapter`] for a gradient of another layout or with values that are not
    /// finite; the adapter is as before then.
    pub fn apply(&mut self, mut gradient: Gradient) -> Result<StepResult> {
        self.learner.layout().check(&gradient.matrices)?;
        if let Some((mu, first)) = &self.proximal {
            pull(&mut gradient.matrices, self.learner.current(), first, *mu);
        }
        let trained = self.trained;
        gradient
            .matrices
            .matrices
            .retain(|name, _| trained.includes(name));
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
        self.learner.update(|adapter| {
            let all = std::mem::take(&mut adapter.matrices);
            let (moving, still): (BTreeMap<_, _>, _) = all
                .into_iter()
                .partition(|(name, _)| trained.includes(name));
            adapter.matrices = moving;
            optimizer.step(adapter, &gradient.matrices, learning_rate);
            adapter.matrices.extend::<BTreeMap<_, _>>(still);
        });
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

/// FedProx's part of the gradient (Li et al. 2020, arXiv 1812.06127): that of μ/2·‖w − w_t‖² is
/// μ·(w − w_t).
fn pull(gradient: &mut Adapter, now: &Adapter, first: &Adapter, mu: f32) {
    let matrices = gradient.matrices.values_mut();
    let matrices = matrices.zip(now.matrices.values().zip(first.matrices.values()));
    for (gradient, (now, first)) in matrices {
        let values = now.values.iter().zip(&first.values);
        for (slope, (now, first)) in gradient.values.iter_mut().zip(values) {
            *slope += mu * (now - first);
        }
    }
}

#[cfg(test)]
mod tests {
    use fl_core::adapter::Matrix;

    use super::*;
    use crate::testing::{self, toy_texts};

    fn batch(learner: &Learner) -> Vec<Example> {
        let texts = toy_texts(8, 3).into_iter();
        texts
            .map(|(text, label)| Example::gold(learner.encode(&text), label, 2))
            .collect()
    }

    fn after(settings: &TrainingSettings, trained: Trained) -> (Adapter, Adapter) {
        let mut learner = testing::learner(3).unwrap();
        let mut first = learner.initial_adapter(1);
        for matrix in first.matrices.values_mut() {
            matrix.values.iter_mut().for_each(|value| *value += 0.01);
        }
        learner.load(&first).unwrap();
        let batch = batch(&learner);
        let mut trainer = Trainer::new(learner, settings, 6).training(trained, settings);
        for _ in 0..6 {
            trainer.step(&batch).unwrap();
        }
        (first, trainer.into_learner().adapter())
    }

    fn distance(one: &Adapter, other: &Adapter) -> f32 {
        let square = |(a, b): (&Matrix, &Matrix)| -> f32 {
            let values = a.values.iter().zip(&b.values);
            values.map(|(a, b)| (a - b) * (a - b)).sum()
        };
        let matrices = one.matrices.values().zip(other.matrices.values());
        matrices.map(square).sum::<f32>().sqrt()
    }

    #[test]
    fn the_proximal_gradient_is_that_of_its_term() {
        let row = |values: &[f32]| {
            let matrix = Matrix {
                rows: 1,
                columns: 2,
                values: values.to_vec(),
            };
            Adapter {
                matrices: [("a".to_owned(), matrix)].into(),
            }
        };
        let mut gradient = row(&[1.0, -1.0]);
        pull(&mut gradient, &row(&[3.0, 2.0]), &row(&[1.0, 4.0]), 0.5);
        assert_eq!(gradient.matrices["a"].values, [2.0, -2.0]);
    }

    #[test]
    fn a_proximal_term_keeps_the_adapter_near() {
        let settings = |proximal| TrainingSettings {
            proximal,
            clip_norm: 0.0,
            weight_decay: 0.0,
            ..TrainingSettings::default()
        };
        let moved = |proximal| {
            let (first, last) = after(&settings(proximal), Trained::Both);
            distance(&first, &last)
        };
        assert!(
            moved(100.0) < 0.8 * moved(0.0),
            "{} {}",
            moved(100.0),
            moved(0.0)
        );
    }

    #[test]
    fn what_is_not_trained_stays_bit_for_bit() {
        for trained in [Trained::OnlyA, Trained::OnlyB, Trained::Both] {
            let (first, last) = after(&TrainingSettings::default(), trained);
            for (name, matrix) in &last.matrices {
                assert_eq!(
                    matrix != &first.matrices[name],
                    trained.includes(name),
                    "{name}"
                );
            }
        }
    }
}
