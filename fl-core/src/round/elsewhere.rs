//! Updates of a round that other processes hold, until their sums come together.

use std::collections::BTreeMap;

use super::{Round, Standing};
use crate::aggregate::Partial;
use crate::protocol::{ClientId, Report};
use crate::room::ProcessId;
use crate::settings::Weighting;

/// Why the clients of a process that is lost are not in the round.
pub(crate) const PROCESS_LOST: &str =
    "the server process that had its update was lost before the round ended";
/// Why a client is not in the round whose update a process counts and does not have.
const NOT_IN_THE_SUM: &str = "the server process that took its update could not add it";

/// What an update adds to a round's record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(super) weight: f64,
    pub(super) loss: f64,
    pub(super) gold: u32,
    pub(super) soft: u32,
    pub(super) bytes: u64,
}

impl Tally {
    pub(super) fn of(report: &Report, weighting: Weighting, bytes: usize) -> Self {
        Self {
            weight: weighting.weight(report),
            loss: report.loss_last.into(),
            gold: report.gold,
            soft: report.soft,
            bytes: bytes as u64,
        }
    }
}

/// By process, the clients whose updates count through it.
pub(crate) type Elsewhere = BTreeMap<ProcessId, BTreeMap<ClientId, Tally>>;

impl Round {
    /// Counts an update that passed [`Self::check`] and whose matrices `process` has checked and
    /// holds.
    pub(crate) fn add_elsewhere(
        &mut self,
        id: ClientId,
        report: &Report,
        weighting: Weighting,
        bytes: usize,
        process: ProcessId,
    ) {
        let tally = Tally::of(report, weighting, bytes);
        self.elsewhere.entry(process).or_default().insert(id, tally);
        self.accepted += 1;
        self.close(id, Standing::Reported);
    }

    pub(crate) fn has_updates_elsewhere(&self) -> bool {
        !self.elsewhere.is_empty()
    }

    /// Number and attempt, and the processes that hold updates.
    pub(crate) fn held_by(&self) -> (u32, u32, Vec<ProcessId>) {
        let processes = self.elsewhere.keys().copied().collect();
        (self.number, self.attempt, processes)
    }

    /// Takes in what a process has summed. Its clients are in the round only if the sum is of this
    /// attempt and of updates that count through this process, and then those that it names.
    pub(crate) fn merge(&mut self, process: ProcessId, partial: Partial) {
        let Some(expected) = self.elsewhere.get(&process) else {
            return;
        };
        let named = partial.clients.clone();
        let is_of_this = (partial.round, partial.attempt) == (self.number, self.attempt);
        let counts = named.iter().all(|id| expected.contains_key(id))
            && named.windows(2).all(|two| two[0] < two[1]);
        if !is_of_this || !counts || self.aggregator.merge(partial).is_err() {
            self.lose(process, NOT_IN_THE_SUM);
            return;
        }
        for (id, tally) in self.elsewhere.remove(&process).unwrap_or_default() {
            match named.binary_search(&id) {
                Ok(_) => self.count(&tally),
                Err(_) => self.leave_out(id, NOT_IN_THE_SUM),
            }
        }
    }

    /// Puts the clients out whose updates count through a process; theirs are in no sum.
    pub(crate) fn lose(&mut self, process: ProcessId, reason: &str) {
        for (id, _) in self.elsewhere.remove(&process).unwrap_or_default() {
            self.leave_out(id, reason);
        }
    }
}
