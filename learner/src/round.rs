//! One client's work of one LP-FL round (Jiang et al., arXiv 2307.13896), in resumable steps.

use fl_core::adapter::Adapter;
use fl_core::protocol::{Progress, Stage};
use fl_core::random::{Purpose, client_round, generator};
use fl_core::settings::RoomSettings;
use fl_core::soft_labels::SoftSet;
use rand::Rng;
use rand::RngExt as _;

use crate::Result;
use crate::dropout::Place;
use crate::error::LearnerError;
use crate::job::{Batch, BatchRow, Job, JobResult};
use crate::learner::Learner;
use crate::prompt::Encoded;
use crate::trainer::{Gradient, Trainer};

/// Texts that one worker scores in one step of labelling: about the work of one training step.
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
    /// Every text, without a look at its label: the gold ones, then the others.
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
/// [`Self::step`] does it piece by piece. Where several workers share it, [`Self::job`] is the next
/// piece, and [`Self::complete`] takes what it came to.
///
/// The same seed, shard, round, texts and adapter give the same result, bit for bit, on one target.
#[derive(Debug)]
pub struct LocalRound {
    settings: RoomSettings,
    round: u32,
    shard: u32,
    gold: Vec<usize>,
    /// Gold and unlabelled texts, as jobs name them.
    texts: Vec<Encoded>,
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

/// A text to train on.
#[derive(Debug)]
struct Example {
    text: usize,
    target: Vec<f32>,
    weight: f32,
}

#[derive(Debug)]
struct Epochs {
    trainer: Trainer,
    examples: Vec<Example>,
    batch_size: usize,
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
            gold: texts.gold.iter().map(|(_, label)| *label).collect(),
            texts: texts.all(),
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
        if let Work::Finished(_, outcome) = &self.work {
            return Ok(Step::Finished(outcome.clone()));
        }
        let result = match (self.job(1), self.learner()) {
            (Some(job), Some(learner)) => learner.run(&self.texts, &job),
            _ => Err(broken()),
        };
        match result {
            Ok(result) => self.complete(result),
            Err(error) => {
                self.work = Work::Broken;
                Err(error)
            }
        }
    }

    /// The next piece of work, of some tens of milliseconds for each of so many workers; none when
    /// the round has ended. It is the same until it is completed.
    pub fn job(&self, workers: usize) -> Option<Job> {
        match &self.work {
            Work::Labelling(_, labels) => {
                let rest = labels.candidates.iter().skip(labels.scores.len());
                let rest = rest.take(LABELLED_AT_ONCE.saturating_mul(workers.max(1)));
                let text = |&index: &usize| (self.gold.len() + index) as u32;
                Some(Job::Scores(rest.map(text).collect()))
            }
            Work::Training(epochs) => Some(Job::Gradient(epochs.batch(&self.texts))),
            Work::Finished(..) | Work::Broken => None,
        }
    }

    /// The learner that does [`Self::job`], by its adapter; none after an error.
    pub fn learner(&self) -> Option<&Learner> {
        match &self.work {
            Work::Labelling(learner, _) | Work::Finished(learner, _) => Some(learner),
            Work::Training(epochs) => Some(epochs.trainer.learner()),
            Work::Broken => None,
        }
    }

    /// The texts that jobs name.
    pub fn texts(&self) -> &[Encoded] {
        &self.texts
    }

    /// Goes on with what [`Self::job`] came to.
    ///
    /// # Errors
    /// [`LearnerError::Diverged`] when training leaves the range of numbers, and
    /// [`LearnerError::Argument`] or [`LearnerError::Adapter`] for what is not that job's result.
    /// The round is over then.
    pub fn complete(&mut self, result: JobResult) -> Result<Step> {
        match std::mem::replace(&mut self.work, Work::Broken) {
            Work::Labelling(learner, labels) => self.label(learner, labels, result.into_scores()?),
            Work::Training(epochs) => self.train(epochs, result),
            Work::Finished(learner, outcome) => Ok(self.finish(learner, outcome)),
            Work::Broken => Err(broken()),
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

    fn label(
        &mut self,
        learner: Box<Learner>,
        mut labels: Labels,
        scores: Vec<Vec<f32>>,
    ) -> Result<Step> {
        let (end, total) = (labels.scores.len() + scores.len(), labels.candidates.len());
        let each = learner.labels();
        if end > total || (scores.is_empty() && end < total) {
            let expected = format!("those of 1 to {} texts", total - labels.scores.len());
            return Err(LearnerError::argument("scores", expected, scores.len()));
        }
        if let Some(scores) = scores.iter().find(|scores| scores.len() != each) {
            return Err(LearnerError::argument(
                "scores of a text",
                each,
                scores.len(),
            ));
        }
        labels.scores.extend(scores);
        if end < total {
            self.work = Work::Labelling(learner, labels);
            return Ok(self.progress(Stage::Labelling, end, total, None));
        }
        self.grow(&labels);
        let (examples, index) = (self.examples(), self.index());
        let epochs = Epochs::new(*learner, examples, &self.settings, self.round, index);
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
        let (gold, unlabelled) = (self.gold.len(), self.texts.len() - self.gold.len());
        let target = settings.target(self.round, gold, unlabelled);
        let mut rng = generator(self.settings.seed, Purpose::SoftLabels, self.index());
        let (candidates, scores) = (&labels.candidates, &labels.scores);
        self.soft
            .grow(settings, target, candidates, scores, &mut rng);
    }

    fn train(&mut self, mut epochs: Box<Epochs>, result: JobResult) -> Result<Step> {
        let loss = epochs.apply(result.into_gradient()?)?;
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
            gold: self.gold.len() as u32,
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
        let one_hot = |label| (0..labels).map(move |l| if l == label { 1.0 } else { 0.0 });
        let gold = self.gold.iter().enumerate();
        let gold = gold.map(|(text, &label)| Example {
            text,
            target: one_hot(label).collect(),
            weight: 1.0,
        });
        let soft = self.soft.labels().iter().map(|(&text, label)| Example {
            text: self.gold.len() + text,
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
        round: u32,
        index: u64,
    ) -> Self {
        let training = settings.training_in(round);
        let trained = settings.aggregation.rule.trained(round);
        let batch_size = training.batch_size.max(1) as usize;
        let per_epoch = examples.len().div_ceil(batch_size) as u32;
        let total = per_epoch * training.epochs;
        let mut epochs = Self {
            trainer: Trainer::new(learner, &training, total)
                .training(trained, &training)
                .seeded(settings.seed, index),
            order: (0..examples.len()).collect(),
            examples,
            batch_size,
            rng: generator(settings.seed, Purpose::Shuffle, index),
            total,
            per_epoch,
            losses: Vec::new(),
        };
        shuffle(&mut epochs.order, &mut epochs.rng);
        epochs
    }

    /// The next batch of the epoch's order.
    fn batch(&self, texts: &[Encoded]) -> Batch {
        let examples = self.order.iter().skip(self.place() * self.batch_size);
        let examples = examples.take(self.batch_size).map(|&i| &self.examples[i]);
        let places = Place::of_all(examples.clone().map(|example| &texts[example.text]));
        let row = |(example, place): (&Example, Place)| BatchRow {
            text: example.text as u32,
            target: example.target.clone(),
            weight: example.weight,
            place,
        };
        Batch {
            rows: examples.zip(places).map(row).collect(),
            noise: self.trainer.noise(),
        }
    }

    /// A step along the batch's gradient; returns the mean loss of the epoch so far.
    fn apply(&mut self, gradient: Gradient) -> Result<f32> {
        let place = self.place();
        self.losses.push(self.trainer.apply(gradient)?.loss);
        if self.place() == 0 {
            shuffle(&mut self.order, &mut self.rng);
        }
        Ok(mean(&self.losses[self.losses.len() - place - 1..]))
    }

    /// Which batch of its epoch comes next.
    fn place(&self) -> usize {
        self.losses.len() % self.per_epoch.max(1) as usize
    }
}

fn broken() -> LearnerError {
    let (expected, got) = ("a round without an earlier error", "one with");
    LearnerError::argument("local round", expected, got)
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
