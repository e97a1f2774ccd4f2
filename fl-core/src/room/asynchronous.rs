//! Rounds that do not wait for everyone: clients work on while rounds end (FedBuff, see
//! [`RoundMode`](crate::settings::RoundMode)).

use super::{Activity, ConnectionId, Effect, Millis, Room};
use crate::error::Fault;
use crate::protocol::{ClientId, Report, ServerMessage};
use crate::round::{Round, Standing};

impl Room {
    /// Whether an update of this connection comes while a round is being stored, and belongs into
    /// the next one. The shell keeps it, at most one of a connection, and gives it to
    /// [`Room::report`] when this is over.
    pub fn has_to_wait(&self, connection: ConnectionId) -> bool {
        let id = self.connections.get(&connection);
        let soon = self.storing.is_some() && self.activity == Activity::Running;
        soon && id.is_some_and(|id| self.carried.contains_key(id))
    }

    /// Ends a round for those at work: in asynchronous mode they work on, unless they would fall
    /// too far behind.
    pub(super) fn let_go(&mut self, round: &mut Round, completes: bool, now: Millis) {
        match self.settings.round.mode.max_staleness() {
            None => self.cancel_working(round),
            Some(most) => {
                let (kept, late) = round.hand_over(most.min(self.most_kept()), completes);
                self.carried = kept;
                for (id, origin) in late {
                    self.cancel(id, origin.round);
                }
            }
        }
        round.exclude_working(now);
    }

    /// What is left to an update that was refused: in asynchronous mode its client would be waited
    /// for beyond the round's end, so it is put out of the round.
    pub(super) fn give_up_refused(&mut self, id: ClientId, report: &Report, fault: &Fault) {
        if !self.settings.round.mode.is_asynchronous() {
            return;
        }
        match &mut self.round {
            Some(round) if round.is_ordered(id, report) => {
                let reason = format!("its update was refused: {}", fault.message);
                round.exclude(id, &reason);
            }
            Some(_) => {}
            None => drop(self.carried.remove(&id)),
        }
    }

    /// Whether a client is at work on an adapter that must not be replaced under it.
    pub(super) fn is_working_on(&self, id: ClientId) -> bool {
        let standing = self.round.as_ref().and_then(|round| round.standing(id));
        self.settings.round.mode.is_asynchronous()
            && (standing == Some(&Standing::Working) || self.carried.contains_key(&id))
    }

    /// Nobody works on into a next round: there is none.
    pub(super) fn drop_carried(&mut self) {
        for (id, origin) in std::mem::take(&mut self.carried) {
            self.cancel(id, origin.round);
        }
    }

    /// Most rounds whose adapters are kept for clients that began at them, by the room's memory.
    fn most_kept(&self) -> u32 {
        let values: usize = self.global.matrices.values().map(|m| m.values.len()).sum();
        let memory = u64::from(self.settings.aggregation.memory_mib) << 20;
        let most = memory / (4 * values.max(1) as u64);
        most.try_into().unwrap_or(u32::MAX)
    }

    /// Selects a client that became ready while the round runs.
    pub(super) fn enlist(&mut self, id: ClientId, now: Millis) {
        let sample = self.settings.round.sample;
        if !self.settings.round.mode.is_asynchronous() || self.activity != Activity::Running {
            return;
        }
        if let Some(round) = &mut self.round
            && round.standing(id).is_none()
            && (sample == 0 || round.at_work() < sample)
        {
            round.enlist(id);
            self.send_order(id, now);
        }
    }

    /// Selects others in the place of a client that has reported.
    pub(super) fn enlist_others(&mut self, now: Millis) {
        let Some(round) = &self.round else { return };
        let free = self.settings.round.sample.saturating_sub(round.at_work());
        if !self.settings.round.mode.is_asynchronous() || free == 0 {
            return;
        }
        let ready = self.members.ready().iter().copied();
        let others = ready.filter(|id| round.standing(*id).is_none());
        for id in others.take(free as usize).collect::<Vec<_>>() {
            self.enlist(id, now);
        }
    }

    /// Sends the new global adapter to everyone who does not work on an earlier one.
    pub(super) fn announce_global(&mut self) {
        if !self.settings.round.mode.is_asynchronous() {
            self.effects.push(Effect::BroadcastGlobal);
            return;
        }
        let idle = |(connection, id): (&ConnectionId, &ClientId)| {
            (!self.carried.contains_key(id)).then_some(*connection)
        };
        let idle: Vec<ConnectionId> = self.connections.iter().filter_map(idle).collect();
        for connection in idle {
            self.send_global(connection);
        }
    }

    /// Sends the newest global adapter on one connection, unless it has gone there before.
    pub(super) fn send_global(&mut self, connection: ConnectionId) {
        let id = self.connections.get(&connection);
        let Some(member) = id.and_then(|id| self.members.member_mut(*id)) else {
            return;
        };
        if member.holds.replace(self.hash) != Some(self.hash) {
            self.effects.push(Effect::SendGlobal(connection));
        }
    }

    /// Orders a selected client to work.
    pub(super) fn send_order(&mut self, id: ClientId, now: Millis) {
        let connection = self.members.member(id).and_then(|member| member.connection);
        let Some(connection) = connection else {
            return;
        };
        if self.settings.round.mode.is_asynchronous() {
            self.send_global(connection);
        }
        if let (Some(round), Some(member)) = (&self.round, self.members.member_mut(id)) {
            member.begin();
            let order = ServerMessage::Work(round.order(id, now));
            self.effects.push(Effect::Send(connection, order));
        }
    }

    fn cancel(&mut self, id: ClientId, round: u32) {
        if let Some(connection) = self.members.member(id).and_then(|member| member.connection) {
            let cancel = ServerMessage::Cancel { round };
            self.effects.push(Effect::Send(connection, cancel));
        }
    }

    pub(super) fn cancel_working(&mut self, round: &Round) {
        for id in round.working() {
            self.cancel(*id, round.begun_in(*id));
        }
    }
}
