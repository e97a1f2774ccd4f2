//! Accuracy of one learner: zero-shot, and after one client's local training on few labels.

use anyhow::Result;
use fl_core::partition::{Deal, Share};
use fl_core::settings::{LoraSettings, RoomSettings, TrainingSettings};
use fl_core::soft_labels::SoftSet;
use fl_core::task::{Calibration, Task};
use learner::{BaseModel, ClientTexts, Encoded, Learner, LocalRound, Step, Tuning};
use serde_json::{Value, json};

use super::cases::Set;
use super::data::{Data, Labelled};
use super::parallel;
use super::report::Line;

/// Unlabelled texts that calibration reads.
const UNLABELLED: u32 = 1000;

/// A base model, a set, and how often to measure.
pub struct Bench<'a> {
    pub base: &'a BaseModel,
    pub set: &'a Set,
    pub data: &'a Data,
    pub seeds: u32,
    labels: Vec<usize>,
}

/// What is trained, and how.
#[derive(Clone, Debug)]
pub struct Method {
    pub name: &'static str,
    pub tuning: Tuning,
    pub training: TrainingSettings,
}

impl Method {
    /// What a room's client does in one round on gold labels, unless it is told otherwise.
    pub fn default_lora() -> Self {
        Self {
            name: "lora",
            tuning: Tuning::Lora(LoraSettings::default()),
            training: TrainingSettings::default(),
        }
    }

    pub fn settings(&self, task: &Task) -> Value {
        json!({
            "learning_rate": self.training.learning_rate,
            "epochs": self.training.epochs,
            "max_tokens": task.max_tokens,
            "calibration": task.calibration,
        })
    }
}

impl<'a> Bench<'a> {
    pub fn new(base: &'a BaseModel, set: &'a Set, data: &'a Data, seeds: u32) -> Self {
        let labels = data.train.iter().map(|(_, label)| *label).collect();
        Self {
            base,
            set,
            data,
            seeds,
            labels,
        }
    }

    /// Without a label: as the task says, and without its calibration.
    pub fn zero_shot(&self) -> Result<Vec<Line>> {
        let task = &self.set.task;
        let plain = Task {
            calibration: Calibration::None,
            ..task.clone()
        };
        let once = self.accuracy(
            &self.learner(&plain, &Method::default_lora())?,
            &self.data.test,
        )?;
        let line = |name, task: &Task, accuracies: &[f64]| {
            let settings = json!({
                "max_tokens": task.max_tokens,
                "calibration": task.calibration,
            });
            Line::new(
                self.set.name,
                0,
                name,
                accuracies,
                self.data.test.len(),
                settings,
            )
        };
        if task.calibration == Calibration::None {
            return Ok(vec![line("zero-shot", task, &[once])]);
        }
        let calibrated = parallel::each(self.seeds, |seed| {
            let mut learner = self.learner(task, &Method::default_lora())?;
            self.calibrate(&mut learner, seed, 0)?;
            self.accuracy(&learner, &self.data.test)
        })?;
        Ok(vec![
            line("zero-shot", task, &calibrated),
            line("zero-shot-uncalibrated", &plain, &[once]),
        ])
    }

    /// After local training on `labels` gold texts.
    pub fn trained(&self, labels: u32, method: &Method) -> Result<Line> {
        let accuracies = parallel::each(self.seeds, |seed| {
            let learner = self.train(labels, method, seed)?;
            self.accuracy(&learner, &self.data.test)
        })?;
        let settings = method.settings(&self.set.task);
        let (set, texts) = (self.set.name, self.data.test.len());
        Ok(Line::new(
            set,
            labels,
            method.name,
            &accuracies,
            texts,
            settings,
        ))
    }

    /// Mean accuracy on the validation texts over the seeds.
    pub fn validated(&self, labels: u32, method: &Method) -> Result<f64> {
        let accuracies = parallel::each(self.seeds, |seed| {
            let learner = self.train(labels, method, seed)?;
            self.accuracy(&learner, &self.data.validation)
        })?;
        Ok(super::report::mean(&accuracies))
    }

    fn learner(&self, task: &Task, method: &Method) -> Result<Learner> {
        let mut learner = Learner::tuned_by(self.base.clone(), task, method.tuning.clone())?;
        learner.load(&learner.initial_adapter(0))?;
        Ok(learner)
    }

    /// Calibrates on the texts that a client with this many gold texts holds beside them.
    fn calibrate(&self, learner: &mut Learner, seed: u32, labels: u32) -> Result<()> {
        if self.set.task.calibration == Calibration::None {
            return Ok(());
        }
        let texts: Vec<Encoded> = self
            .share(labels, seed)?
            .unlabelled
            .iter()
            .map(|&index| learner.encode(&self.data.train[index].0))
            .collect();
        Ok(learner.calibrate(learner.prior(&texts)?)?)
    }

    /// One client's one round, by the code that a tab runs.
    fn train(&self, labels: u32, method: &Method, seed: u32) -> Result<Learner> {
        let mut learner = self.learner(&self.set.task, method)?;
        self.calibrate(&mut learner, seed, labels)?;
        let gold = self.share(labels, seed)?.gold;
        let gold = gold.iter().map(|&index| {
            let (text, label) = &self.data.train[index];
            (learner.encode(text), *label)
        });
        let texts = ClientTexts {
            gold: gold.collect(),
            unlabelled: Vec::new(),
        };
        let settings = RoomSettings {
            task: self.set.task.clone(),
            training: method.training.clone(),
            seed,
            ..RoomSettings::default()
        };
        let soft = SoftSet::default();
        let mut round = LocalRound::new(learner.clone(), &settings, 1, 0, &texts, soft)?;
        loop {
            if let Step::Finished(outcome) = round.step()? {
                learner.load(&outcome.adapter)?;
                return Ok(learner);
            }
        }
    }

    fn share(&self, gold: u32, seed: u32) -> Result<Share> {
        let deal = Deal {
            gold,
            unlabelled: UNLABELLED,
            ..Deal::default()
        };
        Ok(deal.share(&self.labels, 0, seed)?)
    }

    /// Share of the texts that are labelled right.
    pub fn accuracy(&self, learner: &Learner, texts: &Labelled) -> Result<f64> {
        let encoded: Vec<Encoded> = texts.iter().map(|(text, _)| learner.encode(text)).collect();
        let labels: Vec<usize> = texts.iter().map(|(_, label)| *label).collect();
        Ok(learner.evaluate(&encoded, &labels)?.accuracy.into())
    }
}
