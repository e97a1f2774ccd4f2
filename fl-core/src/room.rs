//! The server's side of a room as a sans-I/O machine: messages and time in, effects out.
//!
//! The shell owns sockets, disk and clock. It feeds this machine and carries out [`Effect`]s in
//! their order; a new global adapter is announced only after the shell has said that it is stored.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::adapter::{Adapter, AdapterHash, AdapterLayout};
use crate::error::Fault;
use crate::member::{Member, MemberRecord, TokenHash};
use crate::protocol::{
    ClientId, ClientMessage, Evaluated, HISTORY_SENT, MemberView, ModelInfo, NAME_CHARACTERS,
    PROTOCOL_VERSION, PhaseView, Progress, ROSTER_SHOWN, Receipt, Report, RoomView, RoundOutcome,
    RoundRecord, ServerMessage, Welcome,
};
use crate::random::{Purpose, generator};
use crate::round::{Round, Standing, Verdict};
use crate::settings::{Quorum, RoomSettings, Start};

/// Milliseconds on the shell's clock; only differences matter.
pub type Millis = u64;

/// Most round records kept in memory.
const HISTORY_KEPT: usize = 2_000;
/// How long a member whose connection broke stays on the roster.
const AWAY_SHOWN_MS: Millis = 60_000;
/// Members kept for a return, as a multiple of the capacity.
const KEPT_PER_PLACE: usize = 8;

/// One connection; a client that comes back has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send a message on one connection.
    Send(ConnectionId, ServerMessage),
    /// Send the current global adapter on one connection.
    SendGlobal(ConnectionId),
    /// Send a message on every connection of the room.
    Broadcast(ServerMessage),
    /// Send the current global adapter on every connection of the room.
    BroadcastGlobal,
    /// Send why, then close the connection.
    Close(ConnectionId, Fault),
    /// Store the round and its adapter durably, then call [`Room::stored`] or
    /// [`Room::store_failed`].
    Store(RoundRecord, Arc<Adapter>),
    /// Store the record of a round that changed nothing.
    StoreAbandoned(RoundRecord),
    /// Store a member's record.
    StoreMember(MemberRecord),
    /// Forget a member's record.
    ForgetMember(ClientId),
    /// Store whether the room runs.
    StoreActivity(Activity),
}

/// Whether the room runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Rounds follow each other.
    Running,
    /// No new round starts.
    Paused,
    /// All rounds are done.
    Finished,
}

/// What a room's owner can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerCommand {
    /// Start, or go on after a pause.
    Start,
    /// Start no further round; the one that runs ends as usual.
    Pause,
    /// End the round that runs with the reports it has, or start one without waiting for the
    /// quorum.
    NextRound,
    /// Finish the room now.
    Finish,
    /// Remove a client.
    Remove(ClientId),
}

/// What a shell stores of a room, and gives back after a restart.
#[derive(Clone, Debug)]
pub struct RoomState {
    /// Code of the room.
    pub code: String,
    /// Its settings.
    pub settings: RoomSettings,
    /// The base model.
    pub model: ModelInfo,
    /// The newest global adapter.
    pub global: Arc<Adapter>,
    /// Rounds completed.
    pub completed: u32,
    /// Whether it runs.
    pub activity: Activity,
    /// Its members.
    pub members: Vec<MemberRecord>,
    /// Its rounds, oldest first.
    pub history: Vec<RoundRecord>,
    /// Evaluations, oldest first.
    pub evaluations: Vec<Evaluated>,
}

/// A first message, taken apart.
#[derive(Clone, Debug)]
pub struct Hello {
    /// The client's protocol version.
    pub protocol: u32,
    /// The client's name.
    pub name: String,
    /// Token of an earlier place.
    pub resume: Option<String>,
}

/// A room: its members, its rounds and its global adapter.
#[derive(Debug)]
pub struct Room {
    code: String,
    settings: RoomSettings,
    model: ModelInfo,
    layout: AdapterLayout,
    global: Arc<Adapter>,
    hash: AdapterHash,
    completed: u32,
    attempt: u32,
    activity: Activity,
    members: BTreeMap<ClientId, Member>,
    connections: BTreeMap<ConnectionId, ClientId>,
    next_id: u32,
    round: Option<Round>,
    storing: Option<(RoundRecord, Arc<Adapter>)>,
    not_before: Millis,
    history: VecDeque<RoundRecord>,
    evaluations: Vec<Evaluated>,
    effects: Vec<Effect>,
    changed: bool,
}

impl Room {
    /// A room that has not begun.
    pub fn new(
        code: String,
        settings: RoomSettings,
        model: ModelInfo,
        initial: Arc<Adapter>,
    ) -> Self {
        let activity = match settings.round.start {
            Start::Automatic => Activity::Running,
            Start::Manual => Activity::Paused,
        };
        Self::restore(RoomState {
            code,
            settings,
            model,
            global: initial,
            completed: 0,
            activity,
            members: Vec::new(),
            history: Vec::new(),
            evaluations: Vec::new(),
        })
    }

    /// A room as it was stored. Its members are away until they connect again.
    pub fn restore(state: RoomState) -> Self {
        let members: BTreeMap<_, _> = state
            .members
            .into_iter()
            .map(|m| (m.id, Member::restore(m)))
            .collect();
        let completed = state.completed;
        let attempt = state
            .history
            .iter()
            .filter(|record| record.round == completed + 1)
            .count();
        Self {
            code: state.code,
            settings: state.settings,
            model: state.model,
            layout: state.global.layout(),
            hash: state.global.hash(),
            global: state.global,
            completed,
            attempt: attempt as u32,
            activity: state.activity,
            next_id: members.keys().next_back().map_or(1, |id| id.0 + 1),
            members,
            connections: BTreeMap::new(),
            round: None,
            storing: None,
            not_before: 0,
            history: state.history.into(),
            evaluations: state.evaluations,
            effects: Vec::new(),
            changed: true,
        }
    }

    /// Code of the room.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Its settings.
    pub fn settings(&self) -> &RoomSettings {
        &self.settings
    }

    /// The base model.
    pub fn model(&self) -> &ModelInfo {
        &self.model
    }

    /// Rounds completed, the global adapter that they made, and its hash.
    pub fn global(&self) -> (u32, &Arc<Adapter>, AdapterHash) {
        (self.completed, &self.global, self.hash)
    }

    /// Rounds so far, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &RoundRecord> {
        self.history.iter()
    }

    /// Evaluations so far, oldest first.
    pub fn evaluations(&self) -> &[Evaluated] {
        &self.evaluations
    }

    /// What to do since the last call, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether [`Self::view`] changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_tick(&self) -> Option<Millis> {
        match &self.round {
            Some(round) => Some(round.next_tick(self.grace_ms())),
            None if self.not_before > 0 => Some(self.not_before),
            None => None,
        }
    }

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
        let returning = hello.resume.as_deref().and_then(|token| {
            let hash = TokenHash::of(token);
            self.members
                .iter()
                .find(|(_, member)| member.record.token == hash)
                .map(|(id, _)| *id)
        });
        let connected = self.connections.len() as u32;
        let was_here = returning.is_some_and(|id| self.members[&id].connection.is_some());
        if connected >= self.settings.round.capacity && !was_here {
            return Err(Fault::room_full(self.settings.round.capacity));
        }
        let (id, token) = match (returning, &hello.resume) {
            (Some(id), Some(token)) => (id, token.clone()),
            _ => (self.add_member(&token, now), token),
        };
        let Some(member) = self.members.get_mut(&id) else {
            return Err(Fault::internal("The room lost track of this client."));
        };
        if let Some(old) = member.connect(connection, name) {
            self.connections.remove(&old);
            self.effects.push(Effect::Close(old, Fault::replaced()));
        }
        self.effects
            .push(Effect::StoreMember(member.record.clone()));
        self.connections.insert(connection, id);
        if let Some(round) = &mut self.round {
            round.came_back(id);
        }
        Ok((id, token))
    }

    fn add_member(&mut self, token: &str, now: Millis) -> ClientId {
        if self.members.len() >= self.settings.round.capacity as usize * KEPT_PER_PLACE {
            self.forget_longest_away();
        }
        let taken: std::collections::BTreeSet<u32> = self
            .members
            .values()
            .map(|member| member.record.shard)
            .collect();
        let shard = (0..)
            .find(|shard| !taken.contains(shard))
            .unwrap_or_default();
        let id = ClientId(self.next_id);
        self.next_id += 1;
        let record = MemberRecord::new(id, TokenHash::of(token), shard);
        self.members.insert(id, Member::new(record, now));
        id
    }

    fn forget_longest_away(&mut self) {
        let away = self
            .members
            .iter()
            .filter(|(_, member)| member.connection.is_none());
        let longest = away
            .min_by_key(|(_, member)| member.away_since)
            .map(|(id, _)| *id);
        if let Some(id) = longest {
            self.members.remove(&id);
            self.effects.push(Effect::ForgetMember(id));
        }
    }

    fn welcome(&mut self, connection: ConnectionId, client: ClientId, resume: String) {
        let skipped = self.history.len().saturating_sub(HISTORY_SENT);
        let welcome = Welcome {
            protocol: PROTOCOL_VERSION,
            room: self.code.clone(),
            client,
            resume,
            shard: self.members[&client].record.shard,
            settings: self.settings.clone(),
            model: self.model.clone(),
            history: self.history.iter().skip(skipped).cloned().collect(),
            evaluations: self.evaluations.clone(),
        };
        self.effects.push(Effect::Send(
            connection,
            ServerMessage::Welcome(Box::new(welcome)),
        ));
        self.effects.push(Effect::SendGlobal(connection));
        self.changed = true;
    }

    /// A connection is gone.
    pub fn disconnected(&mut self, connection: ConnectionId, now: Millis) {
        let Some(id) = self.connections.remove(&connection) else {
            return;
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.disconnect(now);
        }
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
                let reason: String = reason.chars().take(400).collect();
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
        if let Some(member) = self.members.get_mut(&id) {
            member.ready = true;
            (member.gold, member.unlabelled) = (gold, unlabelled);
        }
        self.changed = true;
        // A client that came back while its round goes on takes up its work again.
        if let Some(round) = &self.round
            && round.standing(id) == Some(&Standing::Working)
        {
            let order = round.order(now);
            self.effects
                .push(Effect::Send(connection, ServerMessage::Work(order)));
        }
        self.start_if_quorum(now);
    }

    fn progress(&mut self, id: ClientId, progress: &Progress) {
        let current = self
            .round
            .as_ref()
            .is_some_and(|round| round.number == progress.round);
        if let (true, Some(member)) = (current, self.members.get_mut(&id)) {
            member.follow(progress);
            self.changed = true;
        }
    }

    fn leave(&mut self, connection: ConnectionId, id: ClientId, now: Millis) {
        self.connections.remove(&connection);
        self.members.remove(&id);
        self.effects.push(Effect::ForgetMember(id));
        self.changed = true;
        match self.round.as_ref().map(|round| round.number) {
            Some(number) => self.exclude(id, number, "it left the room", now),
            None => self.start_if_quorum(now),
        }
    }

    fn exclude(&mut self, id: ClientId, number: u32, reason: &str, now: Millis) {
        if let Some(round) = &mut self.round
            && round.number == number
        {
            round.exclude(id, reason);
            self.settle(now);
        }
    }

    /// An update of a connection that has said hello; `bytes` is the size of its frame.
    pub fn report(
        &mut self,
        connection: ConnectionId,
        report: &Report,
        adapter: &Adapter,
        bytes: usize,
        now: Millis,
    ) {
        let Some(&id) = self.connections.get(&connection) else {
            return;
        };
        let fault = self.accept(id, report, adapter, bytes).err();
        let latest_helps = fault
            .as_ref()
            .is_some_and(|fault| fault.code.is_answered_with_latest());
        let receipt = Receipt {
            round: report.round,
            fault,
        };
        self.effects
            .push(Effect::Send(connection, ServerMessage::Receipt(receipt)));
        if latest_helps {
            self.effects.push(Effect::SendGlobal(connection));
        }
        self.changed = true;
        self.settle(now);
    }

    fn accept(
        &mut self,
        id: ClientId,
        report: &Report,
        adapter: &Adapter,
        bytes: usize,
    ) -> Result<(), Fault> {
        let stale = || Fault::stale_round(report.round, "that round is over");
        let round = self.round.as_mut().ok_or_else(stale)?;
        let member = self.members.get_mut(&id).ok_or_else(stale)?;
        round.check(id, report, self.hash)?;
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
        self.layout.check(adapter)?;
        round.add(id, report, adapter, self.settings.weighting, bytes);
        member.loss = Some(report.loss_last);
        Ok(())
    }

    /// The owner's wish.
    ///
    /// # Errors
    /// A [`Fault`] when it makes no sense now.
    pub fn command(&mut self, command: OwnerCommand, now: Millis) -> Result<(), Fault> {
        if self.activity == Activity::Finished && !matches!(command, OwnerCommand::Remove(_)) {
            return Err(Fault::finished());
        }
        self.changed = true;
        match command {
            OwnerCommand::Start => self.set_activity(Activity::Running),
            OwnerCommand::Pause => self.set_activity(Activity::Paused),
            OwnerCommand::NextRound if self.round.is_some() => self.end_round(now),
            OwnerCommand::NextRound => {
                self.set_activity(Activity::Running);
                let ready = self.ready_clients();
                if ready.len() < self.settings.round.minimum as usize {
                    return Err(Fault::too_few(self.settings.round.minimum, ready.len()));
                }
                self.start(ready, now);
            }
            OwnerCommand::Finish => self.finish(),
            OwnerCommand::Remove(id) => return self.remove(id, now),
        }
        self.start_if_quorum(now);
        Ok(())
    }

    fn remove(&mut self, id: ClientId, now: Millis) -> Result<(), Fault> {
        let member = self
            .members
            .get(&id)
            .ok_or_else(|| Fault::unknown_client(id))?;
        if let Some(connection) = member.connection {
            self.effects
                .push(Effect::Close(connection, Fault::removed()));
            self.leave(connection, id, now);
        } else {
            self.members.remove(&id);
            self.effects.push(Effect::ForgetMember(id));
        }
        Ok(())
    }

    fn set_activity(&mut self, activity: Activity) {
        if self.activity != activity {
            self.activity = activity;
            self.effects.push(Effect::StoreActivity(activity));
        }
    }

    fn finish(&mut self) {
        self.set_activity(Activity::Finished);
        if let Some(round) = self.round.take() {
            self.cancel_working(&round);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Millis) {
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
        let Some((record, adapter)) = self.storing.take() else {
            return;
        };
        self.hash = match record.outcome {
            RoundOutcome::Completed { hash } => hash,
            RoundOutcome::Abandoned { .. } => return,
        };
        self.global = adapter;
        self.completed = record.round;
        self.attempt = 0;
        for id in &record.participants {
            if let Some(member) = self.members.get_mut(id) {
                member.record.contributed += 1;
                self.effects
                    .push(Effect::StoreMember(member.record.clone()));
            }
        }
        self.keep(record.clone());
        self.effects
            .push(Effect::Broadcast(ServerMessage::RoundEnded(record)));
        self.effects.push(Effect::BroadcastGlobal);
        if self.completed >= self.settings.round.rounds {
            self.set_activity(Activity::Finished);
        }
        self.changed = true;
        self.start_if_quorum(now);
    }

    /// The round in [`Effect::Store`] could not be stored: it does not count.
    pub fn store_failed(&mut self, reason: &str, now: Millis) {
        if let Some((record, _)) = self.storing.take() {
            self.give_up(
                record,
                format!("the server could not store it: {reason}"),
                now,
            );
        }
    }

    /// The server evaluated one of the room's adapters.
    pub fn evaluated(&mut self, evaluated: Evaluated) {
        self.evaluations
            .retain(|known| known.round != evaluated.round);
        let place = self
            .evaluations
            .partition_point(|known| known.round < evaluated.round);
        self.evaluations.insert(place, evaluated.clone());
        self.effects
            .push(Effect::Broadcast(ServerMessage::Evaluated(evaluated)));
    }

    /// What the room looks like.
    pub fn view(&self, now: Millis) -> RoomView {
        let shown = |member: &&Member| {
            member.connection.is_some() || now < member.away_since.saturating_add(AWAY_SHOWN_MS)
        };
        let members: Vec<MemberView> = self
            .members
            .values()
            .filter(shown)
            .take(ROSTER_SHOWN)
            .map(|member| {
                member.view(
                    self.round
                        .as_ref()
                        .and_then(|round| round.standing(member.record.id)),
                )
            })
            .collect();
        RoomView {
            code: self.code.clone(),
            completed: self.completed,
            phase: self.phase(now),
            connected: self.connections.len() as u32,
            ready: self.ready_clients().len() as u32,
            needed: self.needed(),
            members,
        }
    }

    fn phase(&self, now: Millis) -> PhaseView {
        match (&self.round, self.activity) {
            (Some(round), _) => round.view(now),
            (None, Activity::Finished) => PhaseView::Finished,
            (None, Activity::Paused) => PhaseView::Paused,
            (None, Activity::Running) => PhaseView::Waiting,
        }
    }

    fn ready_clients(&self) -> Vec<ClientId> {
        let ready = |(id, member): (&ClientId, &Member)| {
            (member.ready && member.connection.is_some()).then_some(*id)
        };
        self.members.iter().filter_map(ready).collect()
    }

    fn needed(&self) -> u32 {
        let round = &self.settings.round;
        match round.quorum {
            Quorum::Count(count) => count,
            Quorum::Fraction(fraction) => {
                let share = (self.connections.len() as f32 * fraction).ceil() as u32;
                share.max(round.minimum)
            }
        }
    }

    fn grace_ms(&self) -> Millis {
        Millis::from(self.settings.round.grace_seconds) * 1000
    }

    fn start_if_quorum(&mut self, now: Millis) {
        let idle = self.round.is_none() && self.storing.is_none() && now >= self.not_before;
        if self.activity != Activity::Running || !idle {
            return;
        }
        let ready = self.ready_clients();
        if ready.len() >= self.needed() as usize {
            self.start(ready, now);
        }
    }

    fn start(&mut self, ready: Vec<ClientId>, now: Millis) {
        if self.round.is_some() || self.storing.is_some() || ready.is_empty() {
            return;
        }
        let number = self.completed + 1;
        self.attempt += 1;
        self.not_before = 0;
        let index = u64::from(number) << 32 | u64::from(self.attempt);
        let mut rng = generator(self.settings.seed, Purpose::ClientSampling, index);
        let round = Round::new(
            number,
            self.attempt,
            self.hash,
            &self.layout,
            &self.settings.round,
            ready,
            &mut rng,
            now,
        );
        let order = round.order(now);
        for id in round.selected() {
            if let Some(member) = self.members.get_mut(id)
                && let Some(connection) = member.connection
            {
                member.begin();
                self.effects
                    .push(Effect::Send(connection, ServerMessage::Work(order.clone())));
            }
        }
        self.round = Some(round);
        self.changed = true;
    }

    /// Ends the round when nothing more is to be waited for.
    fn settle(&mut self, now: Millis) {
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

    fn end_round(&mut self, now: Millis) {
        let Some(mut round) = self.round.take() else {
            return;
        };
        let minimum = self.settings.round.minimum;
        self.cancel_working(&round);
        round.exclude_working(now);
        let accepted = round.accepted();
        self.changed = true;
        match round.mean() {
            Some(adapter) if accepted >= minimum => {
                let outcome = RoundOutcome::Completed {
                    hash: adapter.hash(),
                };
                let record = round.record(outcome, now);
                let adapter = Arc::new(adapter);
                self.storing = Some((record.clone(), Arc::clone(&adapter)));
                self.effects.push(Effect::Store(record, adapter));
            }
            mean => {
                let reason = match mean {
                    Some(_) => format!("{accepted} updates came in, {minimum} are needed"),
                    None if accepted > 0 => "no example counts, so there is no average".to_owned(),
                    None => "no update came in".to_owned(),
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
            .push(Effect::Broadcast(ServerMessage::RoundEnded(record)));
        // Tried again after 1, 2, 4 … 32 seconds, so that a room whose clients all fail rests.
        self.not_before = now + (1000 << self.attempt.saturating_sub(1).min(5));
        self.changed = true;
    }

    fn cancel_working(&mut self, round: &Round) {
        for id in round.working() {
            if let Some(connection) = self.members.get(id).and_then(|member| member.connection) {
                let cancel = ServerMessage::Cancel {
                    round: round.number,
                };
                self.effects.push(Effect::Send(connection, cancel));
            }
        }
    }

    fn keep(&mut self, record: RoundRecord) {
        if self.history.len() >= HISTORY_KEPT {
            self.history.pop_front();
        }
        self.history.push_back(record);
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
