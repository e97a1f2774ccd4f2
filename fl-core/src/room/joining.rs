//! Members come, say what they hold, go away and come back.

use serde::{Deserialize, Serialize};

use super::{ConnectionId, Effect, Millis, Room};
use crate::error::Fault;
use crate::protocol::{
    ClientId, ClientMessage, Evaluated, HISTORY_SENT, NAME_CHARACTERS, PROTOCOL_VERSION, Progress,
    ServerMessage, WELCOME_NAMED, WELCOME_NAMING, Welcome,
};
use crate::round::Standing;

/// Most characters of why a client could not do its work.
const REASON_CHARACTERS: usize = 200;
/// Members kept for a return, as a multiple of the capacity.
const KEPT_PER_PLACE: usize = 8;

/// A first message, taken apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The client's protocol version.
    pub protocol: u32,
    /// The client's name.
    pub name: String,
    /// Token of an earlier place.
    pub resume: Option<String>,
}

impl Room {
    /// A new connection says hello. `token` becomes the secret of a new member.
    pub fn hello(&mut self, connection: ConnectionId, hello: Hello, token: String, now: Millis) {
        match self.admit(connection, &hello, token, now) {
            Ok((client, token)) => self.welcome(connection, client, token),
            Err(fault) => self.effects.push(Effect::Close(connection, fault)),
        }
    }

    fn admit(
        &mut self,
        connection: ConnectionId,
        hello: &Hello,
        token: String,
        now: Millis,
    ) -> Result<(ClientId, String), Fault> {
        if hello.protocol != PROTOCOL_VERSION {
            return Err(Fault::protocol_version(hello.protocol));
        }
        if self.connections.contains_key(&connection) {
            return Err(Fault::malformed("This connection said hello before."));
        }
        let name = checked_name(&hello.name)?;
        let returning = hello.resume.as_deref();
        let returning = returning.and_then(|token| self.members.find(token));
        let connected = self.connections.len() as u32;
        let was_here = returning.is_some_and(|member| member.connection.is_some());
        let returning = returning.map(|member| member.record.id);
        if connected >= self.settings.round.capacity && !was_here {
            return Err(Fault::room_full(self.settings.round.capacity));
        }
        let (id, token) = match (returning, &hello.resume) {
            (Some(id), Some(token)) => (id, token.clone()),
            _ => (self.add_member(&token, now), token),
        };
        if let Some(old) = self.members.connect(id, connection, name) {
            self.connections.remove(&old);
            self.effects.push(Effect::Close(old, Fault::replaced()));
        }
        let Some(member) = self.members.member(id) else {
            return Err(Fault::internal("The room lost track of this client."));
        };
        self.effects
            .push(Effect::StoreMember(member.record.clone()));
        self.connections.insert(connection, id);
        match &mut self.round {
            Some(round) => {
                round.came_back(id);
                round.begin_anew(id);
            }
            None => drop(self.carried.remove(&id)),
        }
        Ok((id, token))
    }

    fn add_member(&mut self, token: &str, now: Millis) -> ClientId {
        let most = self.settings.round.capacity as usize * KEPT_PER_PLACE;
        if self.members.len() >= most
            && let Some(id) = self.members.longest_away()
        {
            self.members.remove(id);
            self.effects.push(Effect::ForgetMember(id));
        }
        self.members.add(token, now)
    }

    fn welcome(&mut self, connection: ConnectionId, client: ClientId, resume: String) {
        let rounds = self.history.len();
        let sent = (0..rounds).skip(rounds.saturating_sub(HISTORY_SENT));
        let summary = |place: usize| {
            let is_new = place + WELCOME_NAMING >= rounds;
            self.history[place].summary(if is_new { WELCOME_NAMED } else { 0 })
        };
        let welcome = Welcome {
            protocol: PROTOCOL_VERSION,
            room: self.code.clone(),
            client,
            resume,
            shard: self
                .members
                .member(client)
                .map_or(0, |member| member.record.shard),
            settings: self.settings.clone(),
            model: self.model.clone(),
            recorded: self.recorded,
            history: sent.map(summary).collect(),
            evaluations: first_and_newest(&self.evaluations, HISTORY_SENT),
        };
        self.effects.push(Effect::Send(
            connection,
            ServerMessage::Welcome(Box::new(welcome)),
        ));
        self.send_global(connection);
        self.changed = true;
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, connection: ConnectionId, now: Millis) {
        let Some(id) = self.connections.remove(&connection) else {
            return;
        };
        self.members.disconnect(id, now);
        self.carried.remove(&id);
        if let Some(round) = &mut self.round {
            round.went_away(id, now);
        }
        self.changed = true;
        self.settle(now);
    }

    /// A text message of a connection that has said hello.
    pub fn message(&mut self, connection: ConnectionId, message: ClientMessage, now: Millis) {
        let Some(&id) = self.connections.get(&connection) else {
            return;
        };
        match message {
            ClientMessage::Hello { .. } => {
                let fault = Fault::malformed("This connection said hello before.");
                self.effects
                    .push(Effect::Send(connection, ServerMessage::Fault(fault)));
            }
            ClientMessage::Ready { gold, unlabelled } => {
                self.ready(connection, id, gold, unlabelled, now);
            }
            ClientMessage::Progress(progress) => self.progress(id, &progress),
            ClientMessage::Declined { round, reason } => {
                let shown = reason.chars().filter(|c| !c.is_control());
                let reason: String = shown.take(REASON_CHARACTERS).collect();
                self.exclude(
                    id,
                    round,
                    &format!("it could not do the work: {reason}"),
                    now,
                );
            }
            ClientMessage::Leave => self.leave(connection, id, now),
        }
    }

    fn ready(
        &mut self,
        connection: ConnectionId,
        id: ClientId,
        gold: u32,
        unlabelled: u32,
        now: Millis,
    ) {
        self.members.make_ready(id, gold, unlabelled);
        self.changed = true;
        // A client that came back while its round goes on takes up its work again.
        if let Some(round) = &self.round
            && round.standing(id) == Some(&Standing::Working)
        {
            let order = round.order(id, now);
            self.effects
                .push(Effect::Send(connection, ServerMessage::Work(order)));
        }
        self.enlist(id, now);
        self.start_if_quorum(now);
    }

    fn progress(&mut self, id: ClientId, progress: &Progress) {
        let current = self
            .round
            .as_ref()
            .is_some_and(|round| round.begun_in(id) == progress.round);
        if let (true, Some(member)) = (current, self.members.member_mut(id)) {
            member.follow(progress);
            self.changed = true;
        }
    }

    pub(super) fn leave(&mut self, connection: ConnectionId, id: ClientId, now: Millis) {
        self.connections.remove(&connection);
        self.members.remove(id);
        self.carried.remove(&id);
        self.effects.push(Effect::ForgetMember(id));
        self.changed = true;
        match self.round.as_ref().map(|round| round.begun_in(id)) {
            Some(number) => self.exclude(id, number, "it left the room", now),
            None => self.start_if_quorum(now),
        }
    }

    pub(super) fn exclude(&mut self, id: ClientId, number: u32, reason: &str, now: Millis) {
        match &mut self.round {
            Some(round) if round.begun_in(id) == number => {
                round.exclude(id, reason);
                self.settle(now);
            }
            Some(_) => {}
            None => {
                // Between two rounds it works on nothing any more.
                self.carried
                    .retain(|carried, origin| (*carried, origin.round) != (id, number));
                self.start_if_quorum(now);
            }
        }
    }
}

fn checked_name(name: &str) -> Result<String, Fault> {
    let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    let count = name.chars().count();
    if (1..=NAME_CHARACTERS).contains(&count) {
        return Ok(name);
    }
    Err(Fault::malformed(format!(
        "The name has {count} characters, expected 1 to {NAME_CHARACTERS}."
    )))
}

/// At most `most` evaluations: where the room began, and the newest.
fn first_and_newest(evaluations: &[Evaluated], most: usize) -> Vec<Evaluated> {
    let skipped = evaluations
        .len()
        .saturating_sub(most.saturating_sub(1))
        .max(1);
    let first = evaluations.first();
    first
        .into_iter()
        .chain(evaluations.iter().skip(skipped))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::AdapterHash;

    #[test]
    fn long_history_keeps_its_beginning_and_end() {
        let evaluated = |round| Evaluated {
            round,
            hash: AdapterHash([0; 32]),
            count: 1,
            accuracy: 0.5,
            macro_f1: 0.5,
            loss: 0.7,
        };
        let all: Vec<Evaluated> = (0..9).map(evaluated).collect();
        let rounds = |count: usize| {
            let kept = first_and_newest(&all[..count], 4);
            kept.iter().map(|kept| kept.round).collect::<Vec<_>>()
        };
        assert!(rounds(0).is_empty());
        assert_eq!(rounds(1), [0]);
        assert_eq!(rounds(4), [0, 1, 2, 3]);
        assert_eq!(rounds(9), [0, 6, 7, 8]);
    }
}
