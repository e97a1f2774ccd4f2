//! What a process does that takes updates of a room which another process leads: it checks their
//! matrices, sums those that count, and hands the sum over.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::adapter::{Adapter, AdapterHash};
use crate::aggregate::{AggregateError, Aggregator, Partial};
use crate::error::Fault;
use crate::protocol::{ClientId, Report};
use crate::settings::RoomSettings;

/// One process's part in a room's rounds.
#[derive(Debug)]
pub struct Part {
    settings: RoomSettings,
    global: Arc<Adapter>,
    hash: AdapterHash,
    sum: Option<Sum>,
}

/// The updates that count of the newest attempt.
#[derive(Debug)]
struct Sum {
    round: u32,
    attempt: u32,
    clients: BTreeSet<ClientId>,
    aggregator: Aggregator,
}

impl Sum {
    fn is_of(&self, report: &Report) -> bool {
        (self.round, self.attempt) == (report.round, report.attempt)
    }
}

impl Part {
    /// A part without updates, for rounds that start at `global`.
    pub fn new(settings: RoomSettings, global: Arc<Adapter>) -> Self {
        Self {
            settings,
            hash: global.hash(),
            global,
            sum: None,
        }
    }

    /// The update that a report's body stands for, whose matrices are as they have to be.
    ///
    /// # Errors
    /// What is wrong with it. All else about the report is for [`super::Room`] to check.
    pub fn checked(&self, report: &Report, body: &Adapter) -> Result<Adapter, Fault> {
        if report.base != self.hash {
            return Err(Fault::wrong_base(self.hash, report.base));
        }
        let new;
        let aggregator = match &self.sum {
            Some(sum) if sum.is_of(report) => &sum.aggregator,
            _ => {
                new = self.aggregator(report.round);
                &new
            }
        };
        let base = aggregator.trained().part(&self.global);
        let update = self.settings.compression.restored(body, &base)?;
        aggregator.check(&update)?;
        Ok(update.into_owned())
    }

    /// Adds an update that passed [`Self::checked`] and of which the room has said that it counts.
    ///
    /// # Errors
    /// [`AggregateError`] when it cannot be held beside the others; it is not in the sum then.
    pub fn add(
        &mut self,
        client: ClientId,
        report: &Report,
        update: &Adapter,
    ) -> Result<(), AggregateError> {
        // Of an attempt before, nothing is asked any more.
        let sum = match self.sum.take_if(|sum| sum.is_of(report)) {
            Some(sum) => sum,
            None => Sum {
                round: report.round,
                attempt: report.attempt,
                clients: BTreeSet::new(),
                aggregator: self.aggregator(report.round),
            },
        };
        let sum = self.sum.insert(sum);
        let weight = self.settings.weighting.weight(report);
        sum.aggregator.add_checked(client, update, weight)?;
        sum.clients.insert(client);
        Ok(())
    }

    /// What was added in this attempt at this round.
    pub fn partial(&self, round: u32, attempt: u32) -> Partial {
        let sum = self.sum.as_ref();
        match sum.filter(|sum| (sum.round, sum.attempt) == (round, attempt)) {
            Some(sum) => {
                let clients = sum.clients.iter().copied().collect();
                sum.aggregator.partial(round, attempt, clients)
            }
            None => self.aggregator(round).partial(round, attempt, Vec::new()),
        }
    }

    fn aggregator(&self, round: u32) -> Aggregator {
        Aggregator::new(&self.settings, Arc::clone(&self.global), round)
    }
}
