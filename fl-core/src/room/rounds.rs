//! Rounds start, take reports, end, and are stored and announced.

use std::sync::Arc;

use rand::seq::SliceRandom;

use super::{Activity, ConnectionId, Counted, Effect, Millis, Room};
use crate::adapter::Adapter;
use crate::error::Fault;
use crate::protocol::{
    ClientId, ENDED_NAMED, Receipt, Report, RoundOutcome, RoundRecord, ServerMessage,
};
use crate::random::{Purpose, generator};
use crate::round::{Round, Verdict};

/// Most records of rounds that a room keeps, and that a shell has to give back.
pub const HISTORY_KEPT: usize = 2_000;

impl Room {
    /// An update of a connection that has said hello; `bytes` is the size of its frame. Gives back
    /// where it counts, if it does.
    pub fn report(
        &mut self,
        connection: ConnectionId,
        report: &Report,
        adapter: &Adapter,
        bytes: usize,
        now: Millis,
    ) -> Option<Counted> {
        let id = *self.connections.get(&connection)?;
        let accepted = self.accept(id, report, adapter, bytes);
        self.answer(connection, id, report, accepted, now)
    }

    /// Tells a client what became of its report.
    pub(super) fn answer(
        &mut self,
        connection: ConnectionId,
        id: ClientId,
        report: &Report,
        accepted: Result<(), Fault>,
        now: Millis,
    ) -> Option<Counted> {
        let fault = accepted.err();
        let counts = fault.is_none().then_some(Counted {
            client: id,
            round: self.completed + 1,
            attempt: self.attempt,
        });
        if let Some(fault) = &fault {
            self.give_up_refused(id, report, fault);
        }
        let latest_helps = fault
            .as_ref()
            .is_some_and(|fault| fault.code.is_answered_with_latest());
        let receipt = Receipt {
            round: report.round,
            fault,
        };
        self.effects
            .push(Effect::Send(connection, ServerMessage::Receipt(receipt)));
        if latest_helps && !self.is_working_on(id) {
            self.effects.push(Effect::SendGlobal(connection));
        }
        self.changed = true;
        self.settle(now);
        self.enlist_others(now);
        counts
    }

    fn accept(
        &mut self,
        id: ClientId,
        report: &Report,
        adapter: &Adapter,
        bytes: usize,
    ) -> Result<(), Fault> {
        let round = self.check(id, report)?;
        let origin = round.origin(id);
        let base = round.trained().part(&origin.global);
        let update = self.settings.compression.restored(adapter, &base)?;
        let update = round.current(id, &update);
        round.check_update(&update)?;
        let weighting = self.settings.weighting;
        if let Some(round) = &mut self.round {
            round.add(id, report, &update, weighting, bytes)?;
        }
        if let Some(member) = self.members.member_mut(id) {
            member.loss = Some(report.loss_last);
        }
        Ok(())
    }

    /// Checks all of a report but its matrices; gives back the round that it may go into.
    pub(super) fn check(&self, id: ClientId, report: &Report) -> Result<&Round, Fault> {
        let stale = || Fault::stale_round(report.round, "that round is over");
        let round = self.round.as_ref().ok_or_else(stale)?;
        let member = self.members.member(id).ok_or_else(stale)?;
        round.check(id, report)?;
        if report.gold > member.gold {
            return Err(Fault::example_count("gold", member.gold, report.gold));
        }
        if report.soft > member.unlabelled {
            return Err(Fault::example_count("soft", member.unlabelled, report.soft));
        }
        if ![report.loss_first, report.loss_last, report.confidence]
            .iter()
            .all(|v| v.is_finite())
        {
            return Err(Fault::malformed(
                "The update's losses are not finite numbers.",
            ));
        }
        Ok(round)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Millis) {
        self.give_up_collecting(now);
        let grace = self.grace_ms();
        if let Some(round) = &mut self.round {
            round.give_up_on_the_away(now, grace);
            self.settle(now);
        } else if self.not_before > 0 && now >= self.not_before {
            self.not_before = 0;
            self.start_if_quorum(now);
        }
    }

    /// The round in [`Effect::Store`] is durable: announce it.
    pub fn stored(&mut self, now: Millis) {
        let Some((record, adapter, optimizer)) = self.storing.take() else {
            return;
        };
        self.hash = match record.outcome {
            RoundOutcome::Completed { hash } => hash,
            RoundOutcome::Abandoned { .. } => return,
        };
        self.global = adapter;
        self.optimizer = optimizer;
        self.completed = record.round;
        self.attempt = 0;
        for id in &record.participants {
            if let Some(member) = self.members.member_mut(*id) {
                member.record.contributed += 1;
                self.effects
                    .push(Effect::StoreMember(member.record.clone()));
            }
        }
        self.keep(record.clone());
        self.effects
            .push(Effect::Broadcast(ServerMessage::RoundEnded(
                record.summary(ENDED_NAMED),
            )));
        if self.completed >= self.settings.round.rounds {
            self.set_activity(Activity::Finished);
        } else if self.activity != Activity::Running {
            self.drop_carried();
        }
        self.announce_global();
        self.changed = true;
        self.start_if_quorum(now);
    }

    /// The round in [`Effect::Store`] could not be stored: it does not count.
    pub fn store_failed(&mut self, reason: &str, now: Millis) {
        if let Some((record, ..)) = self.storing.take() {
            self.give_up(
                record,
                format!("the server could not store it: {reason}"),
                now,
            );
        }
    }

    pub(super) fn start_if_quorum(&mut self, now: Millis) {
        let idle = !self.is_busy() && now >= self.not_before;
        if self.activity != Activity::Running || !idle {
            return;
        }
        if self.members.ready().len() >= self.needed() as usize {
            self.start(now);
        }
    }

    /// Whether a round runs, or its end.
    fn is_busy(&self) -> bool {
        self.round.is_some() || self.collecting.is_some() || self.storing.is_some()
    }

    pub(super) fn start(&mut self, now: Millis) {
        let ready = self.members.ready().iter().copied();
        let mut ready: Vec<ClientId> = ready.filter(|id| !self.carried.contains_key(id)).collect();
        let nobody = ready.is_empty() && self.carried.is_empty();
        if self.is_busy() || nobody {
            return;
        }
        let number = self.completed + 1;
        self.attempt += 1;
        self.not_before = 0;
        let index = u64::from(number) << 32 | u64::from(self.attempt);
        let mut rng = generator(self.settings.seed, Purpose::ClientSampling, index);
        if self.settings.round.sample > 0 {
            let places = self.settings.round.sample as usize;
            ready.shuffle(&mut rng);
            ready.truncate(places.saturating_sub(self.carried.len()));
        }
        let mut round = Round::new(
            number,
            self.attempt,
            self.hash,
            Arc::clone(&self.global),
            &self.settings,
            ready.clone(),
            now,
        );
        round.carry(std::mem::take(&mut self.carried));
        self.round = Some(round);
        for id in ready {
            self.send_order(id, now);
        }
        self.changed = true;
    }

    /// Ends the round when nothing more is to be waited for.
    pub(super) fn settle(&mut self, now: Millis) {
        match self
            .round
            .as_ref()
            .map(|round| round.verdict(&self.settings.round, now))
        {
            None => self.start_if_quorum(now),
            Some(Verdict::GoOn) => {}
            Some(Verdict::End) => self.end_round(now),
        }
    }

    pub(super) fn end_round(&mut self, now: Millis) {
        let Some(mut round) = self.round.take() else {
            return;
        };
        self.changed = true;
        if round.has_updates_elsewhere() {
            self.let_go(&mut round, true, now);
            self.collect(round, now);
        } else {
            self.close(round, now);
        }
    }

    /// Makes what a round has come to the next global adapter, or gives the round up.
    pub(super) fn close(&mut self, mut round: Round, now: Millis) {
        let minimum = self.settings.round.minimum;
        let accepted = round.accepted();
        let made = round.aggregated(&self.optimizer);
        self.let_go(&mut round, made.is_ok() && accepted >= minimum, now);
        self.changed = true;
        match made {
            Ok(made) if accepted >= minimum => {
                for left_out in &made.excluded {
                    round.leave_out(left_out.client, &left_out.reason);
                }
                let outcome = RoundOutcome::Completed {
                    hash: made.adapter.hash(),
                };
                let record = round.record(outcome, now);
                (self.residual, self.error) = (made.residual, made.error);
                let (adapter, optimizer) = (Arc::new(made.adapter), Arc::new(made.optimizer));
                let storing = (record.clone(), Arc::clone(&adapter), Arc::clone(&optimizer));
                self.storing = Some(storing);
                self.effects.push(Effect::Store(record, adapter, optimizer));
            }
            made => {
                let reason = match made {
                    Ok(_) => format!("{accepted} updates came in, {minimum} are needed"),
                    Err(error) if accepted > 0 => error.to_string(),
                    Err(_) => "no update came in".to_owned(),
                };
                let outcome = RoundOutcome::Abandoned {
                    reason: reason.clone(),
                };
                self.give_up(round.record(outcome, now), reason, now);
            }
        }
    }

    fn give_up(&mut self, mut record: RoundRecord, reason: String, now: Millis) {
        record.outcome = RoundOutcome::Abandoned { reason };
        self.keep(record.clone());
        self.effects.push(Effect::StoreAbandoned(record.clone()));
        self.effects
            .push(Effect::Broadcast(ServerMessage::RoundEnded(
                record.summary(ENDED_NAMED),
            )));
        if self.activity != Activity::Running {
            self.drop_carried();
        }
        // Tried again after 1, 2, 4 … 32 seconds, so that a room whose clients all fail rests.
        self.not_before = now + (1000 << self.attempt.saturating_sub(1).min(5));
        self.changed = true;
    }

    fn keep(&mut self, record: RoundRecord) {
        if self.history.len() >= HISTORY_KEPT {
            self.history.pop_front();
        }
        self.history.push_back(record);
    }
}
