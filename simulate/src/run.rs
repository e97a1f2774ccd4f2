//! One run: one seed of one point, round by round, gone on with where it was interrupted.

mod evaluation;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;

use fl_core::adapter::{Adapter, Matrix};
use fl_core::aggregate::truncated;
use fl_core::protocol::RoundRecord;
use fl_core::session::WorkResult;
use fl_core::soft_labels::SoftLabelMetrics;
use learner::{BaseModel, Learner};
use serde_json::Value;

use crate::checkpoint::{self, Checkpoint};
use crate::error::Result;
use crate::experiment::{Dropouts, Experiment, Method, Stragglers};
use crate::federation::{End, Federation, Finished, Job, Traffic};
use crate::figures::{RoundFigures, RunFigures, SoftFigures};
use crate::scene::Scene;
use crate::work::{Done, Memory, work};
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

/// The work of one federation's attempt.
type Worked = Vec<(Job, Result<Done>)>;

/// A completed round, and what those members keep whose updates are in it.
struct Ended {
    record: RoundRecord,
    memories: Vec<(usize, Memory)>,
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
            self.rounds.push(RoundFigures {
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

    fn round(&mut self) -> Result<RoundFigures> {
        let before = self.traffic();
        let mut figures = RoundFigures {
            round: self.rounds.len() as u32,
            ..RoundFigures::default()
        };
        let (mut metrics, mut loss) = (SoftLabelMetrics::default(), (0.0, 0.0));
        let mut open: Vec<usize> = (0..self.federations.len()).collect();
        while !open.is_empty() {
            let results = self.work(&open)?;
            let mut again = Vec::new();
            for (index, results) in open.into_iter().zip(results) {
                let attempts = self.federations[index].attempts();
                let Some(Ended { record, memories }) = self.end(index, results)? else {
                    again.push(index);
                    continue;
                };
                figures.attempts = figures.attempts.max(attempts);
                figures.selected += record.selected;
                figures.reported += record.reported;
                figures.gold += record.gold;
                figures.soft += record.soft;
                let weight = f64::from(record.gold + record.soft);
                let of_record = record.loss.unwrap_or_default();
                loss = (loss.0 + weight * f64::from(of_record), loss.1 + weight);
                for (member, memory) in memories {
                    let client = self.client(index, member);
                    let truth = self.scene.truth(&self.scene.clients[client]);
                    let hidden: Vec<Option<usize>> = truth.into_iter().map(Some).collect();
                    let before = &self.memories[client].soft;
                    metrics += memory.soft.metrics(before, hidden.len(), &hidden);
                    self.memories[client] = memory;
                }
            }
            open = again;
        }
        let after = self.traffic();
        let clocks = self.federations.iter().map(Federation::now);
        figures.loss = (loss.1 > 0.0).then(|| (loss.0 / loss.1) as f32);
        figures.soft_labels = SoftFigures::new(&metrics);
        figures.virtual_ms = clocks.max().unwrap_or_default();
        if self.scene.experiment.method.is_federated() {
            figures.bytes_up = after.up - before.up;
            figures.bytes_down = after.down - before.down;
            let updates = after.update_count - before.update_count;
            let bytes = after.updates - before.updates;
            figures.bytes_down += self.add_residual()?;
            let error = self.federations[0].product_error();
            figures.aggregation_error = error.map(|error| error.absolute);
            figures.relative_aggregation_error = error.map(|error| error.relative);
            figures.update_bytes = bytes.checked_div(updates).unwrap_or(0);
        }
        Ok(figures)
    }

    /// Adds what the round's rule leaves beside its adapter to the frozen weights; returns the
    /// bytes that this takes to the clients.
    fn add_residual(&mut self) -> Result<u64> {
        let Some(residual) = self.federations[0].residual() else {
            return Ok(0);
        };
        let mut values = 0;
        for (module, product) in &residual.modules {
            values += (product.a.values.len() + product.b.values.len()) as u64;
            let dense = product.dense();
            let sum = self
                .added
                .entry(module.clone())
                .or_insert_with(|| Matrix::zeros(dense.rows, dense.columns));
            let pairs = sum.values.iter_mut().zip(&dense.values);
            pairs.for_each(|(sum, value)| *sum += value);
        }
        self.base = self.scene.learner.base().plus(&self.added)?;
        Ok(4 * values * self.federations[0].connected())
    }

    /// Starts an attempt of each of these federations, and does the work of all of them.
    fn work(&mut self, open: &[usize]) -> Result<Vec<Worked>> {
        let mut tasks = Vec::new();
        for (place, &index) in open.iter().enumerate() {
            let jobs = self.federations[index].begin()?;
            tasks.extend(jobs.into_iter().map(|job| (place, index, job)));
        }
        // One federation's clients share the merged weights; those of many are made when needed.
        let shared = match self.federations.len() {
            1 => Some(self.loaded(0)?),
            _ => None,
        };
        let results = self.workers.each(&tasks, |&(_, index, job)| {
            let client = self.client(index, job.member);
            let (memory, client) = (&self.memories[client], &self.scene.clients[client]);
            let learner = match (client.rank, &shared) {
                (Some(rank), _) => self.truncated(index, rank)?,
                (None, Some(learner)) => learner.clone(),
                (None, None) => self.loaded(index)?,
            };
            work(&self.scene, client, &learner, memory, job.round)
        })?;
        if !results.is_empty() && results.iter().all(Result::is_err) {
            // Another attempt would come to the same.
            for result in results {
                result?;
            }
            return Ok(Vec::new());
        }
        let mut grouped: Vec<_> = open.iter().map(|_| Vec::new()).collect();
        for ((place, _, job), result) in tasks.into_iter().zip(results) {
            grouped[place].push((job, result));
        }
        Ok(grouped)
    }

    /// Ends an attempt; nothing when it was abandoned.
    fn end(&mut self, index: usize, results: Worked) -> Result<Option<Ended>> {
        let mut memories = BTreeMap::new();
        let finished = results.into_iter().map(|(job, result)| match result {
            Err(error) => (job, Finished::Failed(error.to_string())),
            Ok(Done { outcome, memory }) => {
                memories.insert(job.member, memory);
                let result = WorkResult {
                    gold: outcome.gold,
                    soft: outcome.soft,
                    steps: outcome.steps,
                    loss_first: outcome.loss_first,
                    loss_last: outcome.loss_last,
                    confidence: outcome.confidence,
                    work_ms: job.takes(),
                };
                (job, Finished::Report(result, outcome.adapter))
            }
        });
        let finished = finished.collect();
        Ok(match self.federations[index].end(finished)? {
            End::Abandoned => None,
            End::Completed(record, members) => {
                let kept = members.into_iter();
                let kept = kept.filter_map(|member| Some((member, memories.remove(&member)?)));
                let memories = kept.collect();
                Some(Ended { record, memories })
            }
        })
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
