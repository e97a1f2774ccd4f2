//! One room and its clients on a virtual clock: the production machines, real frames, no socket.
//!
//! Frames arrive at once and in order; only local work takes time. The simulator is the room's
//! owner who starts each round, so that a round begins with exactly the clients that are there.

mod state;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::aggregate::{ProductError, Residual};
use fl_core::member::MemberRecord;
use fl_core::protocol::{ClientId, ModelInfo, RoundOutcome, RoundRecord, WorkOrder};
use fl_core::room::{ConnectionId, Effect, Millis, OwnerCommand, Room};
use fl_core::session::{Session, WorkResult};
use fl_core::settings::RoomSettings;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::chance::{Chance, normal, stream};
use crate::error::{Result, SimulateError};
use crate::experiment::{Dropouts, Experiment, Stragglers};

pub(crate) use state::Saved;
use wire::Frame;
pub(crate) use wire::Traffic;

/// Attempts at one round before the simulation gives up.
const MOST_ATTEMPTS: u32 = 100;

/// A room and its clients.
pub(crate) struct Federation {
    room: Room,
    members: Vec<Member>,
    links: BTreeMap<ConnectionId, usize>,
    next_link: u64,
    now: Millis,
    frames: VecDeque<Frame>,
    traffic: Traffic,
    attempts: u32,
    /// The clients whose updates were accepted in this attempt.
    accepted: Vec<usize>,
    ended: Option<RoundRecord>,
    /// What a server would store of the clients.
    records: BTreeMap<ClientId, MemberRecord>,
    world: World,
}

/// What the world does to the clients.
#[derive(Clone, Debug)]
struct World {
    seed: u32,
    dropouts: Dropouts,
    stragglers: Stragglers,
    /// Whether another attempt at a round may come to something else.
    is_random: bool,
}

/// A client's side of the wire.
struct Member {
    /// Which client of the experiment it is.
    client: u32,
    session: Session<ChaCha8Rng>,
    link: Option<ConnectionId>,
    /// Labelled and unlabelled texts.
    texts: (u32, u32),
    order: Option<WorkOrder>,
}

/// Work that a selected client will report in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Job {
    /// Its place among the federation's clients.
    pub(crate) member: usize,
    /// The round.
    pub(crate) round: u32,
    /// Milliseconds that it takes on the virtual clock.
    takes: Millis,
}

/// What came of a job, for the wire.
pub(crate) enum Finished {
    /// A report.
    Report(WorkResult, Adapter),
    /// The client cannot do the work.
    Failed(String),
}

impl Job {
    /// Milliseconds that it takes on the virtual clock.
    pub(crate) fn takes(&self) -> u32 {
        self.takes.try_into().unwrap_or(u32::MAX)
    }
}

enum Event {
    Finish(usize),
    Break(usize),
}

/// What a round came to.
#[derive(Debug)]
pub(crate) enum End {
    /// A new global adapter, and whose updates came in time for it.
    Completed(RoundRecord, Vec<usize>),
    /// Another attempt is due.
    Abandoned,
}

impl Federation {
    /// Connects every client; `clients` are their numbers in the experiment and their texts.
    pub(crate) fn new(
        experiment: &Experiment,
        settings: RoomSettings,
        initial: Adapter,
        clients: &[(u32, (u32, u32))],
    ) -> Result<Self> {
        let room = Room::new(
            "SIMULA".into(),
            settings.clone(),
            ModelInfo::default(),
            Arc::new(initial),
        );
        let mut federation = Self::around(room, experiment, settings.seed);
        for &(client, texts) in clients {
            federation.add(client, texts, None);
        }
        federation.deliver()?;
        Ok(federation)
    }

    fn around(room: Room, experiment: &Experiment, seed: u32) -> Self {
        Self {
            room,
            members: Vec::new(),
            links: BTreeMap::new(),
            next_link: 0,
            now: 0,
            frames: VecDeque::new(),
            traffic: Traffic::default(),
            attempts: 0,
            accepted: Vec::new(),
            ended: None,
            records: BTreeMap::new(),
            world: World {
                seed,
                is_random: experiment.dropouts != Dropouts::default()
                    || experiment.round.sample.of(experiment.clients) != 0,
                dropouts: experiment.dropouts.clone(),
                stragglers: experiment.stragglers.clone(),
            },
        }
    }

    /// The newest global adapter, and its hash.
    pub(crate) fn global(&self) -> (Arc<Adapter>, AdapterHash) {
        let (_, adapter, hash) = self.room.global();
        (Arc::clone(adapter), hash)
    }

    /// What the last round's rule adds to the frozen weights.
    pub(crate) fn residual(&self) -> Option<&Residual> {
        self.room.residual()
    }

    /// How far the last round's adapter is from the mean of the products, where it is measured.
    pub(crate) fn product_error(&self) -> Option<ProductError> {
        self.room.product_error().copied()
    }

    /// Clients that are connected.
    pub(crate) fn connected(&self) -> u64 {
        self.links.len() as u64
    }

    /// Rounds completed.
    pub(crate) fn completed(&self) -> u32 {
        self.room.global().0
    }

    /// All bytes so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Milliseconds on the virtual clock.
    pub(crate) fn now(&self) -> Millis {
        self.now
    }

    /// Attempts at the round that is due.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Starts an attempt at the next round: the work of those that will report in time.
    ///
    /// Clients whose connection will break, or that are too slow, are not asked to compute what
    /// would be thrown away.
    pub(crate) fn begin(&mut self) -> Result<Vec<Job>> {
        self.attempts += 1;
        self.ended = None;
        self.accepted.clear();
        self.come_and_go()?;
        // When too few are there, the attempt has no work and ends as abandoned. The pause is
        // only that no other round follows by itself.
        for command in [OwnerCommand::NextRound, OwnerCommand::Pause] {
            let _ = self.room.command(command, self.now);
        }
        self.deliver()?;
        let members = self.members.iter().enumerate();
        let jobs = members.filter_map(|(member, state)| {
            let order = state.order.as_ref()?;
            let takes = self.work_time(state.client);
            let breaks = self.breaks_after(state.client, takes).is_some();
            (!breaks && takes < Millis::from(order.deadline_ms)).then_some(Job {
                member,
                round: order.round,
                takes,
            })
        });
        Ok(jobs.collect())
    }

    /// Lets the clock run to the round's end; `results` are those of the jobs that
    /// [`Self::begin`] gave.
    pub(crate) fn end(&mut self, results: Vec<(Job, Finished)>) -> Result<End> {
        let mut events: BTreeMap<(Millis, usize), Event> = BTreeMap::new();
        for (member, state) in self.members.iter().enumerate() {
            if state.order.is_some() {
                let takes = self.work_time(state.client);
                if let Some(after) = self.breaks_after(state.client, takes) {
                    events.insert((self.now + after, member), Event::Break(member));
                }
            }
        }
        let mut finished = BTreeMap::new();
        for (job, result) in results {
            let at = (self.now + job.takes, job.member);
            events.insert(at, Event::Finish(job.member));
            finished.insert(job.member, result);
        }
        while self.ended.is_none() {
            let timer = self.room.next_tick();
            let next = events.keys().next().copied();
            match (next, timer) {
                (Some((at, _)), timer) if timer.is_none_or(|timer| at < timer) => {
                    self.now = self.now.max(at);
                    if let Some((_, event)) = events.pop_first() {
                        self.happen(event, &mut finished);
                    }
                }
                (_, Some(timer)) => {
                    self.now = self.now.max(timer);
                    self.room.tick(self.now);
                }
                // No round runs: too few clients were there.
                (_, None) => break,
            }
            self.deliver()?;
        }
        match self.ended.take() {
            Some(record) if matches!(record.outcome, RoundOutcome::Completed { .. }) => {
                self.attempts = 0;
                let mut members = std::mem::take(&mut self.accepted);
                members.sort_unstable();
                Ok(End::Completed(record, members))
            }
            ended => self.abandoned(ended),
        }
    }

    fn abandoned(&mut self, record: Option<RoundRecord>) -> Result<End> {
        // As long as a room rests at least after a round that came to nothing.
        self.now += 1000;
        if self.attempts < MOST_ATTEMPTS && self.world.is_random {
            return Ok(End::Abandoned);
        }
        let reason = match record.map(|record| record.outcome) {
            Some(RoundOutcome::Abandoned { reason }) => reason,
            _ => "too few clients were there".into(),
        };
        Err(SimulateError::Abandoned {
            round: self.completed() + 1,
            attempts: self.attempts,
            reason,
        })
    }

    fn happen(&mut self, event: Event, finished: &mut BTreeMap<usize, Finished>) {
        match event {
            Event::Break(member) => self.cut(member),
            Event::Finish(member) => {
                let session = &mut self.members[member].session;
                match finished.remove(&member) {
                    Some(Finished::Report(result, adapter)) => session.finished(result, &adapter),
                    Some(Finished::Failed(reason)) => session.failed(&reason),
                    None => {}
                }
                self.act(member);
            }
        }
    }

    /// Breaks and opens connections, so that those are there that are to be.
    fn come_and_go(&mut self) -> Result<()> {
        for member in 0..self.members.len() {
            let state = &self.members[member];
            let chance = f64::from(self.world.dropouts.before);
            let mut rng = stream(self.world.seed, Chance::Absence, self.attempt(state.client));
            let is_away = rng.random_bool(chance);
            match (is_away, state.link) {
                (true, Some(_)) => self.cut(member),
                (false, None) => self.connect(member),
                _ => {}
            }
            self.deliver()?;
        }
        Ok(())
    }

    /// Milliseconds that a client works.
    fn work_time(&self, client: u32) -> Millis {
        let Stragglers {
            median_seconds,
            sigma,
        } = self.world.stragglers;
        let mut rng = stream(self.world.seed, Chance::Speed, client.into());
        let factor = (f64::from(sigma) * normal(&mut rng)).exp();
        ((f64::from(median_seconds) * 1000.0 * factor) as Millis).max(1)
    }

    /// When a client's connection breaks in this attempt, if it does.
    fn breaks_after(&self, client: u32, takes: Millis) -> Option<Millis> {
        let mut rng = stream(self.world.seed, Chance::Break, self.attempt(client));
        let chance = f64::from(self.world.dropouts.during);
        rng.random_bool(chance).then(|| rng.random_range(0..takes))
    }

    /// An index that tells apart clients, rounds and attempts.
    fn attempt(&self, client: u32) -> u64 {
        let round = u64::from(self.completed() + 1);
        u64::from(client) << 40 | round << 8 | u64::from(self.attempts.min(255))
    }

    /// Carries out what the room asks for.
    fn settle(&mut self) {
        let mut effects = VecDeque::from(self.room.take_effects());
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Store(record, ..) => {
                    self.ended = Some(record);
                    self.room.stored(self.now);
                    effects.extend(self.room.take_effects());
                }
                Effect::StoreAbandoned(record) => self.ended = Some(record),
                Effect::StoreMember(record) => drop(self.records.insert(record.id, record)),
                Effect::ForgetMember(id) => drop(self.records.remove(&id)),
                effect => self.send(effect),
            }
        }
    }
}

#[cfg(test)]
mod tests;
