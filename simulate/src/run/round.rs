//! One round of a run: the work of all clients on all cores, and what it comes to.

use std::collections::BTreeMap;

use fl_core::adapter::Matrix;
use fl_core::protocol::RoundRecord;
use fl_core::session::WorkResult;
use fl_core::soft_labels::SoftLabelMetrics;

use super::Run;
use crate::error::Result;
use crate::federation::{End, Federation, Finished, Job};
use crate::figures::{RoundFigures, SoftFigures};
use crate::work::{Done, Memory, work};

/// The work of one federation's attempt.
type Worked = Vec<(Job, Result<Done>)>;

/// A completed round, and what those members keep whose updates are in it.
struct Ended {
    record: RoundRecord,
    memories: Vec<(usize, Memory)>,
}

impl Run<'_> {
    /// One round of every federation, in as many attempts as it takes.
    pub(super) fn round(&mut self) -> Result<RoundFigures> {
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
            1 => Some(self.workers.one(|| self.loaded(0))??),
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
}
