//! One client's work of one LP-FL round (Jiang et al., arXiv 2307.13896), in resumable steps.

use fl_core::adapter::Adapter;
use fl_core::aggregate::Trained;
use fl_core::protocol::{Progress, Stage};
use fl_core::random::{Purpose, client_round, generator};
use fl_core::settings::RoomSettings;
use fl_core::soft_labels::SoftSet;
use rand::Rng;
use rand::RngExt as _;

use crate::Result;
use crate::error::LearnerError;
use crate::learner::Learner;
use crate::prompt::Encoded;
use crate::trainer::{Example, Trainer};

/// Texts that one step of labelling scores: about the work of one training step.
const LABELLED_AT_ONCE: usize = 16;

/// The texts of one client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientTexts {
    /// Texts with their labels' positions in the task.
    pub gold: Vec<(Encoded, usize)>,
    /// Texts without labels.
    pub unlabelled: Vec<Encoded>,
}

impl ClientTexts {
    /// Every text, without a look at its label.
    pub fn all(&self) -> Vec<Encoded> {
        let gold = self.gold.iter().map(|(text, _)| text);
        gold.chain(&self.unlabelled).cloned().collect()
    }
}

/// What one step of a round came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// There is more to do.
    Progress(Progress),
    /// The round's work is done; further steps return this again.
    Finished(Outcome),
}

/// The result of local work, for a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The trained adapter; the global one when there was nothing to train on.
    pub adapter: Adapter,
    /// Gold examples trained on.
    pub gold: u32,
    /// Soft-labelled examples trained on.
    pub soft: u32,
    /// Optimizer steps taken.
    pub steps: u32,
    /// Mean loss of the first epoch's steps, 0 without steps.
    pub loss_first: f32,
    /// Mean loss of the last epoch's steps, 0 without steps.
    pub loss_last: f32,
    /// Mean confidence of the soft labels, 0 without any.
    pub confidence: f32,
}

/// The work of one client in one round: first soft labels by the global adapter, then local epochs
/// over gold and soft examples with a fresh optimizer.
///
/// The same seed, shard, round, texts and adapter give the same result, bit for bit, on one target.
#[derive(Debug)]
pub struct LocalRound {
    settings: RoomSettings,
    round: u32,
    shard: u32,
    texts: ClientTexts,
    soft: SoftSet,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Labelling(Box<Learner>, Labels),
    Training(Box<Epochs>),
    Finished(Box<Learner>, Outcome),
    /// Only between two states, or after an error in a step.
    Broken,
}

#[derive(Debug)]
struct Labels {
    candidates: Vec<usize>,
    scores: Vec<Vec<f32>>,
}

#[derive(Debug)]
struct Epochs {
    trainer: Trainer,
    examples: Vec<Example>,
    order: Vec<usize>,
    rng: rand_chacha::ChaCha8Rng,
    total: u32,
    per_epoch: u32,
    losses: Vec<f32>,
}

impl LocalRound {
    /// The work of `round` (from 1) for the client with this shard, from the adapter that
    /// `learner` has loaded; `soft` is the set that the round before left, or an empty one.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] for a gold label that the task does not have.
    pub fn new(
        learner: Learner,
        settings: &RoomSettings,
        round: u32,
        shard: u32,
        texts: &ClientTexts,
        soft: SoftSet,
    ) -> Result<Self> {
        let labels = learner.labels();
        if let Some((_, got)) = texts.gold.iter().find(|(_, label)| *label >= labels) {
            let expected = format!("a label below {labels}");
            return Err(LearnerError::argument("gold text", expected, got));
        }
        let (gold, unlabelled) = (texts.gold.len(), texts.unlabelled.len());
        let candidates = soft.candidates(&settings.soft_labels, round, gold, unlabelled);
        let labels = Labels {
            candidates,
            scores: Vec::new(),
        };
        Ok(Self {
            settings: settings.clone(),
            round,
            shard,
            texts: texts.clone(),
            soft,
            work: Work::Labelling(Box::new(learner), labels),
        })
    }

    /// Does a piece of work of some tens of milliseconds.
    ///
    /// # Errors
    /// [`LearnerError::Diverged`] when training leaves the range of numbers. The round is over
    /// then: every further step fails.
    pub fn step(&mut self) -> Result<Step> {
        match std::mem::replace(&mut self.work, Work::Broken) {
            Work::Labelling(learner, labels) => self.label(learner, labels),
            Work::Training(epochs) => self.train(epochs),
            Work::Finished(learner, outcome) => Ok(self.finish(learner, outcome)),
            Work::Broken => {
                let (expected, got) = ("a round without an earlier error", "one with");
                Err(LearnerError::argument("local round", expected, got))
            }
        }
    }

    /// The soft labels, to be carried to the next round.
    pub fn soft(&self) -> &SoftSet {
        &self.soft
    }

    /// The soft labels, to be carried to the next round.
    pub fn into_soft(self) -> SoftSet {
        self.soft
    }

    fn label(&mut self, learner: Box<Learner>, mut labels: Labels) -> Result<Step> {
        let done = labels.scores.len();
        let end = labels.candidates.len().min(done + LABELLED_AT_ONCE);
        let texts = labels.candidates[done..end].iter();
        let texts: Vec<Encoded> = texts.map(|&i| self.texts.unlabelled[i].clone()).collect();
        labels.scores.extend(learner.scores(&texts)?);
        let total = labels.candidates.len();
        if end < total {
            self.work = Work::Labelling(learner, labels);
            return Ok(self.progress(Stage::Labelling, end, total, None));
        }
        self.grow(&labels);
        let trained = self.settings.aggregation.rule.trained(self.round);
        let epochs = Epochs::new(
            *learner,
            self.examples(),
            &self.settings,
            trained,
            self.index(),
        );
        if epochs.total == 0 {
            let outcome = self.outcome(&epochs);
            return Ok(self.finish(Box::new(epochs.trainer.into_learner()), outcome));
        }
        let steps = epochs.total as usize;
        self.work = Work::Training(Box::new(epochs));
        Ok(match total {
            0 => self.progress(Stage::Training, 0, steps, None),
            _ => self.progress(Stage::Labelling, total, total, None),
        })
    }

    fn grow(&mut self, labels: &Labels) {
        let settings = &self.settings.soft_labels;
        let (gold, unlabelled) = (self.texts.gold.len(), self.texts.unlabelled.len());
        let target = settings.target(self.round, gold, unlabelled);
        let mut rng = generator(self.settings.seed, Purpose::SoftLabels, self.index());
        let (candidates, scores) = (&labels.candidates, &labels.scores);
        self.soft
            .grow(settings, target, candidates, scores, &mut rng);
    }

    fn train(&mut self, mut epochs: Box<Epochs>) -> Result<Step> {
        let loss = epochs.step(self.settings.training.batch_size as usize)?;
        let (done, total) = (epochs.losses.len(), epochs.total as usize);
        if done < total {
            self.work = Work::Training(epochs);
            return Ok(self.progress(Stage::Training, done, total, Some(loss)));
        }
        let outcome = self.outcome(&epochs);
        // The last step may have left the range of numbers, with no later loss to show it.
        epochs.trainer.learner().layout().check(&outcome.adapter)?;
        Ok(self.finish(Box::new(epochs.trainer.into_learner()), outcome))
    }

    fn finish(&mut self, learner: Box<Learner>, outcome: Outcome) -> Step {
        self.work = Work::Finished(learner, outcome.clone());
        Step::Finished(outcome)
    }

    fn outcome(&self, epochs: &Epochs) -> Outcome {
        let per_epoch = epochs.per_epoch as usize;
        let last = epochs.losses.len().saturating_sub(per_epoch);
        Outcome {
            adapter: epochs.trainer.learner().adapter(),
            gold: self.texts.gold.len() as u32,
            soft: self.soft.labels().len() as u32,
            steps: epochs.trainer.steps(),
            loss_first: mean(epochs.losses.get(..per_epoch).unwrap_or_default()),
            loss_last: mean(&epochs.losses[last..]),
            confidence: self.soft.confidence(),
        }
    }

    fn progress(&self, stage: Stage, done: usize, total: usize, loss: Option<f32>) -> Step {
        Step::Progress(Progress {
            round: self.round,
            stage,
            done: done as u32,
            total: total as u32,
            loss,
        })
    }

    fn examples(&self) -> Vec<Example> {
        let labels = self.settings.task.labels.len();
        let gold = self.texts.gold.iter();
        let gold = gold.map(|(text, label)| Example::gold(text.clone(), *label, labels));
        let soft = self.soft.labels().iter().map(|(&text, label)| Example {
            encoded: self.texts.unlabelled[text].clone(),
            target: label.distribution.clone(),
            weight: self.settings.soft_labels.weight,
        });
        gold.chain(soft).collect()
    }

    fn index(&self) -> u64 {
        client_round(self.shard, self.round)
    }
}

impl Epochs {
    fn new(
        learner: Learner,
        examples: Vec<Example>,
        settings: &RoomSettings,
        trained: Trained,
        index: u64,
    ) -> Self {
        let batch = settings.training.batch_size.max(1) as usize;
        let per_epoch = examples.len().div_ceil(batch) as u32;
        let total = per_epoch * settings.training.epochs;
        Self {
            trainer: Trainer::new(learner, &settings.training, total)
                .training(trained, &settings.training)
                .seeded(settings.seed, index),
            order: (0..examples.len()).collect(),
            examples,
            rng: generator(settings.seed, Purpose::Shuffle, index),
            total,
            per_epoch,
            losses: Vec::new(),
        }
    }

    /// The next batch of the epoch's order; returns the mean loss of the epoch so far.
    fn step(&mut self, batch_size: usize) -> Result<f32> {
        let place = self.losses.len() % self.per_epoch as usize;
        if place == 0 {
            shuffle(&mut self.order, &mut self.rng);
        }
        let rest = self.order.iter().skip(place * batch_size);
        let batch: Vec<Example> = rest
            .take(batch_size)
            .map(|&index| self.examples[index].clone())
            .collect();
        self.losses.push(self.trainer.step(&batch)?.loss);
        Ok(mean(&self.losses[self.losses.len() - place - 1..]))
    }
}

/// Fisher and Yates's shuffle, written out so that no version of a library changes it.
fn shuffle(order: &mut [usize], rng: &mut impl Rng) {
    for last in (1..order.len()).rev() {
        order.swap(last, rng.random_range(0..=last));
    }
}

fn mean(losses: &[f32]) -> f32 {
    losses.iter().sum::<f32>() / losses.len().max(1) as f32
}

#[cfg(test)]
mod tests;
