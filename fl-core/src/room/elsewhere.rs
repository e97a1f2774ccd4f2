//! Clients whose updates other processes of the service take: what those have summed is collected
//! when a round ends.
//!
//! A process that takes an update checks its matrices; everything else is checked here, as for an
//! update of the room's own process, so that nobody counts twice. What a process has summed goes in
//! if it is of exactly the updates that count through it; a process that is lost, or does not
//! answer in time, costs its clients' updates of this round and nothing else.

use super::{ConnectionId, Counted, Millis, ProcessId, Room};
use crate::aggregate::Partial;
use crate::error::Fault;
use crate::protocol::Report;
use crate::room::Effect;
use crate::round::{PROCESS_LOST, Round};

/// How long an ended round waits for the sums of other processes, which may be every update of a
/// large model. A process that is gone is noticed long before.
const COLLECTING_MS: Millis = 60_000;

/// A round that takes no more updates, and waits for sums.
#[derive(Debug)]
pub(super) struct Collecting {
    round: Round,
    until: Millis,
}

impl Collecting {
    /// When it waits no longer.
    pub(super) fn until(&self) -> Millis {
        self.until
    }
}

impl Room {
    /// [`Self::report`] of an update that `process` holds: it has checked the matrices, and
    /// `matrices` is what it found. Gives back where the update counts, if it does; the
    /// process then adds it to its sum, and only then.
    pub fn report_elsewhere(
        &mut self,
        connection: ConnectionId,
        report: &Report,
        matrices: Result<(), Fault>,
        bytes: usize,
        process: ProcessId,
        now: Millis,
    ) -> Option<Counted> {
        let id = *self.connections.get(&connection)?;
        let accepted = self.check(id, report).map(|_| ()).and(matrices);
        if accepted.is_ok() {
            let weighting = self.settings.weighting;
            if let Some(round) = &mut self.round {
                round.add_elsewhere(id, report, weighting, bytes, process);
            }
            if let Some(member) = self.members.member_mut(id) {
                member.loss = Some(report.loss_last);
            }
        }
        self.answer(connection, id, report, accepted, now)
    }

    /// What a process has summed, in answer to [`Effect::Collect`].
    pub fn collected(&mut self, process: ProcessId, partial: Partial, now: Millis) {
        if let Some(collecting) = &mut self.collecting {
            collecting.round.merge(process, partial);
            self.close_if_collected(now);
        }
    }

    /// A process is gone with the updates that it had. Its connections are told to
    /// [`Self::disconnected`] one by one.
    pub fn process_lost(&mut self, process: ProcessId, now: Millis) {
        if let Some(round) = &mut self.round {
            round.lose(process, PROCESS_LOST);
            self.changed = true;
            self.settle(now);
        }
        if let Some(collecting) = &mut self.collecting {
            collecting.round.lose(process, PROCESS_LOST);
            self.close_if_collected(now);
        }
    }

    /// Begins to wait for the sums of other processes.
    pub(super) fn collect(&mut self, round: Round, now: Millis) {
        let (number, attempt, processes) = round.held_by();
        self.effects.push(Effect::Collect {
            round: number,
            attempt,
            processes,
        });
        let until = now + COLLECTING_MS;
        self.collecting = Some(Collecting { round, until });
    }

    /// Goes on without the sums that did not come in time.
    pub(super) fn give_up_collecting(&mut self, now: Millis) {
        let Some(collecting) = &mut self.collecting else {
            return;
        };
        if now >= collecting.until {
            let (_, _, late) = collecting.round.held_by();
            for process in late {
                collecting.round.lose(process, PROCESS_LOST);
            }
            self.close_if_collected(now);
        }
    }

    fn close_if_collected(&mut self, now: Millis) {
        let waits = |collecting: &mut Collecting| !collecting.round.has_updates_elsewhere();
        if let Some(Collecting { round, .. }) = self.collecting.take_if(waits) {
            self.close(round, now);
        }
    }
}
