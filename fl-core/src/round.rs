//! One round at the server: who was selected, who reported, and what their updates come to.

mod carried;
mod elsewhere;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::adapter::{Adapter, AdapterError, AdapterHash};
use crate::aggregate::{AggregateError, Aggregated, Aggregator, OptimizerState, Trained};
use crate::error::Fault;
use crate::protocol::{
    ClientId, Exclusion, PhaseView, Report, RoundOutcome, RoundRecord, WorkOrder,
};
use crate::room::Millis;
use crate::settings::{RoomSettings, RoundSettings, Weighting};

pub(crate) use self::carried::Carried;
pub(crate) use self::elsewhere::PROCESS_LOST;
use self::elsewhere::{Elsewhere, Tally};

/// Where a selected client stands in its round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Works on it.
    Working,
    /// Its connection broke at this time while it worked.
    Away(Millis),
    /// Its update counts.
    Reported,
    /// Its update does not go in, and why.
    Excluded(String),
}

/// Whether a round goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Something is worth waiting for.
    GoOn,
    /// Nothing is.
    End,
}

/// A running round.
#[derive(Debug)]
pub(crate) struct Round {
    /// Its number, from 1.
    pub(crate) number: u32,
    attempt: u32,
    base: AdapterHash,
    global: Arc<Adapter>,
    started: Millis,
    deadline: Millis,
    clients: BTreeMap<ClientId, Standing>,
    /// The clients that are [`Standing::Away`], longest first.
    away: BTreeSet<(Millis, ClientId)>,
    /// Where those began that did not begin here.
    origins: Carried,
    outstanding: u32,
    accepted: u32,
    elsewhere: Elsewhere,
    aggregator: Aggregator,
    gold: u32,
    soft: u32,
    loss: f64,
    weight: f64,
    bytes: u64,
}

impl Round {
    /// A round of these clients.
    pub(crate) fn new(
        number: u32,
        attempt: u32,
        base: AdapterHash,
        global: Arc<Adapter>,
        settings: &RoomSettings,
        selected: Vec<ClientId>,
        now: Millis,
    ) -> Self {
        Self {
            number,
            attempt,
            base,
            started: now,
            deadline: now + Millis::from(settings.round.deadline_seconds) * 1000,
            outstanding: selected.len() as u32,
            clients: selected
                .into_iter()
                .map(|id| (id, Standing::Working))
                .collect(),
            away: BTreeSet::new(),
            accepted: 0,
            elsewhere: Elsewhere::default(),
            aggregator: Aggregator::new(settings, Arc::clone(&global), number),
            global,
            origins: Carried::new(),
            gold: 0,
            soft: 0,
            loss: 0.0,
            weight: 0.0,
            bytes: 0,
        }
    }

    pub(crate) fn standing(&self, id: ClientId) -> Option<&Standing> {
        self.clients.get(&id)
    }

    /// The clients that are still at work.
    pub(crate) fn working(&self) -> impl Iterator<Item = &ClientId> {
        self.clients
            .iter()
            .filter(|(_, s)| **s == Standing::Working)
            .map(|(id, _)| id)
    }

    /// Updates that count.
    pub(crate) fn accepted(&self) -> u32 {
        self.accepted
    }

    /// What a client is to do.
    pub(crate) fn order(&self, id: ClientId, now: Millis) -> WorkOrder {
        let origin = self.origins.get(&id);
        let own = (self.number, self.attempt, self.base);
        let (round, attempt, base) =
            origin.map_or(own, |origin| (origin.round, origin.attempt, origin.base));
        WorkOrder {
            round,
            attempt,
            base,
            deadline_ms: milliseconds(now, self.deadline),
        }
    }

    /// Whether a report may go into this round.
    pub(crate) fn check(&self, id: ClientId, report: &Report) -> Result<(), Fault> {
        let WorkOrder {
            round,
            attempt,
            base,
            ..
        } = self.order(id, self.started);
        if (report.round, report.attempt) != (round, attempt) {
            return Err(Fault::stale_round(
                report.round,
                &format!(
                    "round {} (attempt {}) is running",
                    self.number, self.attempt
                ),
            ));
        }
        match self.clients.get(&id) {
            None => Err(Fault::not_selected(self.number)),
            Some(Standing::Reported) => Err(Fault::duplicate_report(self.number)),
            Some(Standing::Excluded(reason)) => Err(Fault::stale_round(self.number, reason)),
            Some(Standing::Working | Standing::Away(_)) if report.base != base => {
                Err(Fault::wrong_base(base, report.base))
            }
            Some(Standing::Working | Standing::Away(_)) => Ok(()),
        }
    }

    /// Which matrices the round trains.
    pub(crate) fn trained(&self) -> Trained {
        self.aggregator.trained()
    }

    /// Whether an update's matrices may go into this round.
    pub(crate) fn check_update(&self, adapter: &Adapter) -> Result<(), AdapterError> {
        self.aggregator.check(adapter)
    }

    /// Adds an update that passed [`Self::check`] and [`Self::check_update`]; one that does not
    /// fit beside the others puts its client out of the round.
    pub(crate) fn add(
        &mut self,
        id: ClientId,
        report: &Report,
        adapter: &Adapter,
        weighting: Weighting,
        bytes: usize,
    ) -> Result<(), AggregateError> {
        let weight = weighting.weight(report);
        if let Err(error) = self.aggregator.add_checked(id, adapter, weight) {
            self.exclude(id, &error.to_string());
            return Err(error);
        }
        self.count(&Tally::of(report, weighting, bytes));
        self.accepted += 1;
        self.close(id, Standing::Reported);
        Ok(())
    }

    fn count(&mut self, tally: &Tally) {
        self.loss += tally.weight * tally.loss;
        self.weight += tally.weight;
        self.gold = self.gold.saturating_add(tally.gold);
        self.soft = self.soft.saturating_add(tally.soft);
        self.bytes += tally.bytes;
    }

    /// What the updates come to.
    pub(crate) fn aggregated(
        &self,
        optimizer: &OptimizerState,
    ) -> Result<Aggregated, AggregateError> {
        self.aggregator.finish(optimizer)
    }

    /// Takes back what a client reported, because the rule left its update out.
    pub(crate) fn leave_out(&mut self, id: ClientId, reason: &str) {
        if let Some(standing @ Standing::Reported) = self.clients.get_mut(&id) {
            *standing = Standing::Excluded(reason.into());
            self.accepted -= 1;
        }
    }

    pub(crate) fn exclude(&mut self, id: ClientId, reason: &str) {
        if matches!(
            self.clients.get(&id),
            Some(Standing::Working | Standing::Away(_))
        ) {
            self.close(id, Standing::Excluded(reason.into()));
        }
    }

    fn close(&mut self, id: ClientId, standing: Standing) {
        if let Some(Standing::Away(since)) = self.clients.insert(id, standing) {
            self.away.remove(&(since, id));
        }
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    pub(crate) fn went_away(&mut self, id: ClientId, now: Millis) {
        if let Some(standing @ Standing::Working) = self.clients.get_mut(&id) {
            *standing = Standing::Away(now);
            self.away.insert((now, id));
        }
    }

    pub(crate) fn came_back(&mut self, id: ClientId) {
        if let Some(standing) = self.clients.get_mut(&id)
            && let Standing::Away(since) = *standing
        {
            *standing = Standing::Working;
            self.away.remove(&(since, id));
        }
    }

    /// Excludes the clients that have been away for longer than `grace`.
    pub(crate) fn give_up_on_the_away(&mut self, now: Millis, grace: Millis) {
        while let Some(&(since, id)) = self.away.first()
            && now >= since + grace
        {
            self.exclude(id, "its connection broke and did not come back in time");
        }
    }

    /// Excludes everyone who has not reported: the round ends without them.
    pub(crate) fn exclude_working(&mut self, now: Millis) {
        let reason = match now >= self.deadline {
            true => "it had not reported at the deadline",
            false => "the round had enough updates before it reported",
        };
        let late: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in late {
            self.exclude(id, reason);
        }
    }

    /// When time alone changes something.
    pub(crate) fn next_tick(&self, grace: Millis) -> Millis {
        let away = self.away.first().map(|(since, _)| since + grace);
        away.map_or(self.deadline, |first| first.min(self.deadline))
    }

    pub(crate) fn verdict(&self, settings: &RoundSettings, now: Millis) -> Verdict {
        let enough = settings.goal > 0 && self.accepted >= settings.goal;
        let hopeless = self.accepted + self.outstanding < settings.minimum;
        match enough || hopeless || self.outstanding == 0 || now >= self.deadline {
            true => Verdict::End,
            false => Verdict::GoOn,
        }
    }

    pub(crate) fn view(&self, now: Millis) -> PhaseView {
        PhaseView::Working {
            round: self.number,
            attempt: self.attempt,
            selected: self.clients.len() as u32,
            reported: self.accepted,
            deadline_ms: milliseconds(now, self.deadline),
        }
    }

    pub(crate) fn record(&self, outcome: RoundOutcome, now: Millis) -> RoundRecord {
        let mut participants = Vec::new();
        let mut excluded = Vec::new();
        for (id, standing) in &self.clients {
            match standing {
                Standing::Reported => participants.push(*id),
                Standing::Excluded(reason) => {
                    excluded.push(Exclusion {
                        client: *id,
                        reason: reason.clone(),
                    });
                }
                Standing::Working | Standing::Away(_) => {}
            }
        }
        RoundRecord {
            round: self.number,
            attempt: self.attempt,
            outcome,
            selected: self.clients.len() as u32,
            reported: self.accepted,
            participants,
            excluded,
            gold: self.gold,
            soft: self.soft,
            loss: (self.weight > 0.0).then(|| (self.loss / self.weight) as f32),
            duration_ms: milliseconds(self.started, now),
            bytes_up: self.bytes,
        }
    }
}

/// Milliseconds from one time to a later one, as the wire carries them.
fn milliseconds(from: Millis, to: Millis) -> u32 {
    to.saturating_sub(from).try_into().unwrap_or(u32::MAX)
}
