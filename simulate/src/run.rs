//! One run: one seed of one point, round by round, gone on with where it was interrupted.

mod evaluation;
mod round;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;

use fl_core::adapter::{Adapter, Matrix};
use fl_core::aggregate::truncated;
use learner::{BaseModel, Learner};
use serde_json::Value;

use crate::checkpoint::{self, Checkpoint};
use crate::error::Result;
use crate::experiment::{Dropouts, Experiment, Method, Stragglers};
use crate::federation::{Federation, Traffic};
use crate::figures::{RoundFigures, RunFigures};
use crate::scene::Scene;
use crate::work::Memory;
use crate::workers::Workers;

/// A run in the making.
pub(crate) struct Run<'a> {
    scene: Scene,
    workers: &'a Workers,
    federations: Vec<Federation>,
    memories: Vec<Memory>,
    /// What was added to the frozen weights, and the model with it.
    added: BTreeMap<String, Matrix>,
    base: BaseModel,
    rounds: Vec<RoundFigures>,
    settings: Value,
    path: PathBuf,
}

impl<'a> Run<'a> {
    /// A run that begins, or goes on from the last round that `path` holds.
    ///
    /// # Errors
    /// A checkpoint of other settings, or one that cannot be read.
    pub(crate) fn open(
        scene: Scene,
        settings: Value,
        path: &Path,
        workers: &'a Workers,
    ) -> Result<Self> {
        let mut run = Self {
            memories: vec![Memory::default(); scene.clients.len()],
            base: scene.learner.base().clone(),
            added: BTreeMap::new(),
            scene,
            workers,
            federations: Vec::new(),
            rounds: Vec::new(),
            settings,
            path: path.into(),
        };
        match checkpoint::read(path, &run.settings)? {
            Some(saved) => run.restore(saved)?,
            None => run.begin()?,
        }
        Ok(run)
    }

    /// Rounds that are done, the evaluation before the first one included.
    pub(crate) fn done(&self) -> u64 {
        self.rounds.len() as u64
    }

    /// Runs all rounds that are left, and calls `told` after each.
    ///
    /// # Errors
    /// Training that leaves the range of numbers at every client, a round that never has enough
    /// updates, or a checkpoint that cannot be written.
    pub(crate) fn finish(mut self, told: &(dyn Fn() + Sync)) -> Result<RunFigures> {
        let rounds = match self.scene.experiment.method {
            Method::ZeroShot => 0,
            _ => self.scene.experiment.rounds,
        };
        if self.rounds.is_empty() {
            let started = Instant::now();
            let evaluation = self.evaluate(rounds == 0)?;
            let traffic = match self.scene.experiment.method.is_federated() {
                true => self.traffic(),
                false => Traffic::default(),
            };
            self.rounds.push(RoundFigures {
                bytes_up: traffic.up,
                bytes_down: traffic.down,
                wall_ms: started.elapsed().as_millis() as u64,
                evaluation: Some(evaluation),
                ..RoundFigures::default()
            });
            told();
        }
        while self.rounds.len() as u32 <= rounds {
            let started = Instant::now();
            let mut figures = self.round()?;
            let is_last = figures.round == rounds;
            if is_last || figures.round % self.scene.experiment.evaluation.every == 0 {
                figures.evaluation = Some(self.evaluate(is_last)?);
            }
            figures.wall_ms = started.elapsed().as_millis() as u64;
            self.rounds.push(figures);
            if !is_last {
                self.save()?;
            }
            told();
        }
        let seed = self.scene.settings.seed;
        let hash = |federation: &Federation| federation.global().1.to_string();
        Ok(RunFigures {
            seed,
            hashes: self.federations.iter().map(hash).collect(),
            trained_parameters: self.scene.learner.layout().parameters() as u64,
            rounds: self.rounds,
        })
    }

    /// The clients of each federation: all in one, or each alone.
    fn groups(&self) -> Vec<Vec<(u32, (u32, u32))>> {
        let clients = self.scene.clients.iter().map(|client| {
            let (gold, unlabelled) = (&client.share.gold, &client.share.unlabelled);
            (client.number, (gold.len() as u32, unlabelled.len() as u32))
        });
        match self.scene.experiment.method {
            Method::Local => clients.map(|client| vec![client]).collect(),
            _ => vec![clients.collect()],
        }
    }

    /// The settings of a federation: where nothing travels, nobody is late or away.
    fn experiment(&self) -> Experiment {
        let experiment = self.scene.experiment.clone();
        match experiment.method.is_federated() {
            true => experiment,
            false => Experiment {
                dropouts: Dropouts::default(),
                stragglers: Stragglers::default(),
                ..experiment
            },
        }
    }

    fn begin(&mut self) -> Result<()> {
        let (experiment, initial) = (self.experiment(), self.scene.learner.adapter());
        for clients in self.groups() {
            let task = &self.scene.settings.task;
            let settings = experiment.room(task, self.scene.settings.seed, clients.len() as u32);
            let federation = Federation::new(&experiment, settings, initial.clone(), &clients)?;
            self.federations.push(federation);
        }
        Ok(())
    }

    fn restore(&mut self, saved: Checkpoint) -> Result<()> {
        let experiment = self.experiment();
        let mut adapters = VecDeque::from(saved.adapters);
        self.added = adapters.pop_front().unwrap_or_default().matrices;
        self.base = self.scene.learner.base().plus(&self.added)?;
        for (state, clients) in saved.federations.into_iter().zip(self.groups()) {
            let task = &self.scene.settings.task;
            let settings = experiment.room(task, self.scene.settings.seed, clients.len() as u32);
            let federation =
                Federation::restore(&experiment, settings, state, &mut adapters, &clients)?;
            self.federations.push(federation);
        }
        for (memory, soft) in self.memories.iter_mut().zip(saved.soft) {
            memory.soft = soft;
        }
        self.rounds = saved.rounds;
        Ok(())
    }

    fn save(&self) -> Result<()> {
        let added = Adapter {
            matrices: self.added.clone(),
        };
        let adapters = self.federations.iter().flat_map(Federation::adapters);
        checkpoint::write(
            &self.path,
            &self.settings,
            &Checkpoint {
                federations: self.federations.iter().map(Federation::save).collect(),
                adapters: [added].into_iter().chain(adapters).collect(),
                soft: self
                    .memories
                    .iter()
                    .map(|memory| memory.soft.clone())
                    .collect(),
                rounds: self.rounds.clone(),
            },
        )
    }

    /// The place among all clients of a federation's member.
    fn client(&self, federation: usize, member: usize) -> usize {
        match self.scene.experiment.method {
            Method::Local => federation,
            _ => member,
        }
    }

    fn traffic(&self) -> Traffic {
        let mut sum = Traffic::default();
        for traffic in self.federations.iter().map(Federation::traffic) {
            sum.up += traffic.up;
            sum.down += traffic.down;
            sum.updates += traffic.updates;
            sum.update_count += traffic.update_count;
        }
        sum
    }

    /// The learner of a smaller rank with what it can hold of a federation's global adapter.
    fn truncated(&self, federation: usize, rank: u32) -> Result<Learner> {
        let global = self.federations[federation].global().0;
        let mut learner = self.scene.ranked[&rank].clone().on(self.base.clone());
        learner.load(&truncated(&global, rank as usize))?;
        Ok(learner)
    }

    /// The learner with a federation's global adapter, ready to score.
    fn loaded(&self, federation: usize) -> Result<Learner> {
        let mut learner = self.scene.learner.clone().on(self.base.clone());
        learner.load(&self.federations[federation].global().0)?;
        // Merges the adapter, which the clones then share.
        learner.scores(&[])?;
        Ok(learner)
    }
}
