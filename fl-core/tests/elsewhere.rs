//! Rooms whose clients are spread over processes: whatever is lost, the record of a round names
//! exactly the clients whose updates are in its adapter, and nobody is in it twice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fl_core::adapter::{Adapter, Matrix};
use fl_core::aggregate::Partial;
use fl_core::error::{Fault, FaultCode};
use fl_core::protocol::{
    ClientId, ClientMessage, ModelInfo, PROTOCOL_VERSION, Report, RoundOutcome, RoundRecord,
    ServerMessage, WorkOrder,
};
use fl_core::random::{Purpose, generator};
use fl_core::room::{ConnectionId, Effect, Hello, Part, ProcessId, Room};
use fl_core::settings::{Quorum, RoomSettings, Rule};
use proptest::prelude::*;

const CLIENTS: u32 = 9;
const ROUNDS: u32 = 5;

fn adapter(value: f32) -> Adapter {
    let matrix = Matrix {
        rows: 1,
        columns: 2,
        values: vec![value, -value],
    };
    Adapter {
        matrices: [("w".to_owned(), matrix)].into(),
    }
}

fn first(adapter: &Adapter) -> f32 {
    adapter.matrices["w"].values[0]
}

fn settings(rule: Rule) -> RoomSettings {
    let mut settings = RoomSettings::default();
    settings.aggregation.rule = rule;
    settings.round.quorum = Quorum::Count(CLIENTS);
    settings.round.minimum = 2;
    settings.round.rounds = ROUNDS;
    settings.round.deadline_seconds = 30;
    settings
}

/// The clients of process 0 are the room's own.
fn process_of(client: ClientId) -> ProcessId {
    ProcessId(client.0 % 3)
}

struct World {
    room: Room,
    now: u64,
    parts: BTreeMap<ProcessId, Part>,
    orders: BTreeMap<ClientId, WorkOrder>,
    faults: Vec<FaultCode>,
    ended: Vec<(RoundRecord, Option<Arc<Adapter>>)>,
    collects: Vec<(u32, u32, ProcessId)>,
}

impl World {
    fn new(rule: Rule) -> Self {
        let (code, model) = ("ABCDEF".to_owned(), ModelInfo::default());
        let room = Room::new(code, settings(rule), model, Arc::new(adapter(0.0)));
        let mut world = Self {
            room,
            now: 0,
            parts: BTreeMap::new(),
            orders: BTreeMap::new(),
            faults: Vec::new(),
            ended: Vec::new(),
            collects: Vec::new(),
        };
        world.new_parts();
        for client in 1..=CLIENTS {
            let hello = Hello {
                protocol: PROTOCOL_VERSION,
                name: format!("{client}"),
                resume: None,
            };
            let connection = ConnectionId(client.into());
            world.room.hello(connection, hello, format!("{client}"), 0);
        }
        world.ready();
        world
    }

    fn new_parts(&mut self) {
        for process in [1, 2] {
            self.new_part(ProcessId(process));
        }
    }

    fn new_part(&mut self, process: ProcessId) {
        let global = Arc::clone(self.room.global().1);
        let part = Part::new(self.room.settings().clone(), global);
        self.parts.insert(process, part);
    }

    fn ready(&mut self) {
        for client in 1..=CLIENTS {
            let (gold, unlabelled) = (20, 20);
            let ready = ClientMessage::Ready { gold, unlabelled };
            let connection = ConnectionId(client.into());
            self.room.message(connection, ready, self.now);
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        loop {
            let effects = self.room.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                match effect {
                    Effect::Send(to, ServerMessage::Work(order)) => {
                        self.orders.insert(ClientId(to.0 as u32), order);
                    }
                    Effect::Send(_, ServerMessage::Receipt(receipt)) => {
                        self.faults.extend(receipt.fault.map(|fault| fault.code));
                    }
                    Effect::Collect {
                        round,
                        attempt,
                        processes,
                    } => {
                        let each = processes.into_iter();
                        self.collects
                            .extend(each.map(|process| (round, attempt, process)));
                    }
                    Effect::Store(record, adapter, _) => {
                        self.ended.push((record, Some(adapter)));
                        self.room.stored(self.now);
                        self.new_parts();
                    }
                    Effect::StoreAbandoned(record) => self.ended.push((record, None)),
                    _ => {}
                }
            }
        }
    }

    /// A client reports; whether its process hears that it counts is `heard`.
    fn report(&mut self, client: ClientId, heard: bool) {
        let Some(order) = self.orders.get(&client).cloned() else {
            return;
        };
        let report = report(client, &order);
        let update = adapter(value(client, &order));
        let (process, connection) = (process_of(client), ConnectionId(client.0.into()));
        if process == ProcessId(0) {
            let now = self.now;
            self.room.report(connection, &report, &update, 8, now);
        } else {
            let part = self.parts.get_mut(&process).unwrap();
            let checked = part.checked(&report, &update);
            let matrices = checked.as_ref().map(|_| ()).map_err(Fault::clone);
            let counts = self
                .room
                .report_elsewhere(connection, &report, matrices, 8, process, self.now);
            if let (Some(client), Ok(update), true) = (counts, checked, heard) {
                part.add(client.client, &report, &update).unwrap();
            }
        }
        self.carry_out();
    }

    fn partial(&self, round: u32, attempt: u32, process: ProcessId) -> Partial {
        let partial = self.parts[&process].partial(round, attempt);
        Partial::decode(&partial.encode(), usize::MAX).unwrap()
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now += milliseconds;
        self.room.tick(self.now);
        self.carry_out();
    }

    /// Every record names who is in its adapter.
    fn check(&self) {
        for (record, made) in &self.ended {
            let named: BTreeSet<ClientId> = record.participants.iter().copied().collect();
            assert_eq!(named.len(), record.participants.len(), "twice: {record:?}");
            assert_eq!(named.len() + record.excluded.len(), CLIENTS as usize);
            assert_eq!(record.reported as usize, named.len());
            let Some(made) = made else { continue };
            let order = |client| (value_of(client, record.round, record.attempt), gold(client));
            let updates: Vec<(f32, u32)> = named.iter().map(|id| order(*id)).collect();
            let weight: f64 = updates.iter().map(|(_, gold)| f64::from(*gold)).sum();
            let sum: f64 = updates
                .iter()
                .map(|(value, gold)| f64::from(*value) * f64::from(*gold))
                .sum();
            let counted: u32 = updates.iter().map(|(_, gold)| gold).sum();
            assert_eq!(record.gold, counted);
            let expected = (sum / weight) as f32;
            assert!((first(made) - expected).abs() < 1e-5, "{record:?}");
        }
    }
}

fn value(client: ClientId, order: &WorkOrder) -> f32 {
    value_of(client, order.round, order.attempt)
}

/// Another value for each client, round and attempt.
fn value_of(client: ClientId, round: u32, attempt: u32) -> f32 {
    (client.0 * client.0) as f32 + round as f32 * 0.25 + attempt as f32 * 7.0
}

fn gold(client: ClientId) -> u32 {
    client.0 % 5 + 1
}

fn report(client: ClientId, order: &WorkOrder) -> Report {
    Report {
        round: order.round,
        attempt: order.attempt,
        base: order.base,
        gold: gold(client),
        soft: 0,
        steps: 1,
        loss_first: 0.7,
        loss_last: 0.6,
        confidence: 0.0,
        work_ms: 5,
    }
}

#[test]
fn processes_make_what_one_makes() {
    for rule in [Rule::FedAvg, Rule::Median] {
        let mut world = World::new(rule);
        let mut alone = World::new(rule);
        for client in (1..=CLIENTS).map(ClientId) {
            world.report(client, true);
            let order = alone.orders[&client].clone();
            let update = adapter(value(client, &order));
            let connection = ConnectionId(client.0.into());
            alone
                .room
                .report(connection, &report(client, &order), &update, 8, 0);
        }
        alone.carry_out();
        assert!(world.ended.is_empty());
        assert_eq!(world.collects.len(), 2);
        for (round, attempt, process) in std::mem::take(&mut world.collects) {
            let partial = world.partial(round, attempt, process);
            world.room.collected(process, partial, world.now);
        }
        world.carry_out();
        let (record, made) = &world.ended[0];
        let (same, expected) = &alone.ended[0];
        assert_eq!(record.participants, same.participants);
        assert_eq!((record.gold, record.loss), (same.gold, same.loss));
        let apart = first(made.as_ref().unwrap()) - first(expected.as_ref().unwrap());
        assert!(apart.abs() < 1e-6, "{rule:?}: {apart}");
    }
}

#[test]
fn lost_process_costs_its_clients_the_round() {
    let mut world = World::new(Rule::FedAvg);
    for client in (1..=CLIENTS).map(ClientId) {
        world.report(client, true);
    }
    world.room.process_lost(ProcessId(1), 1);
    let (round, attempt, process) = world.collects[1];
    let partial = world.partial(round, attempt, process);
    world.room.collected(process, partial, 1);
    world.carry_out();
    world.check();
    let (record, _) = &world.ended[0];
    assert!(matches!(record.outcome, RoundOutcome::Completed { .. }));
    let lost = record.excluded.iter().map(|lost| lost.client);
    assert!(lost.map(process_of).all(|process| process == ProcessId(1)));
    assert_eq!((record.participants.len(), record.excluded.len()), (6, 3));
}

#[test]
fn silent_processes_are_waited_for_no_longer_than_said() {
    let mut world = World::new(Rule::FedAvg);
    for client in (1..=CLIENTS).map(ClientId) {
        world.report(client, true);
    }
    let until = world.room.next_tick().unwrap();
    world.pass(until - 1 - world.now);
    assert!(world.ended.is_empty());
    world.pass(1);
    assert_eq!(world.ended[0].0.participants.len(), 3);
    world.check();
}

#[test]
fn bad_matrices_are_answered_and_may_be_mended() {
    let mut world = World::new(Rule::FedAvg);
    let client = ClientId(1);
    let order = world.orders[&client].clone();
    let (connection, report) = (ConnectionId(1), report(client, &order));
    let part = &world.parts[&ProcessId(1)];
    let fault = part.checked(&report, &Adapter::default()).unwrap_err();
    assert_eq!(fault.code, FaultCode::Misshapen);
    let counts = world
        .room
        .report_elsewhere(connection, &report, Err(fault), 8, ProcessId(1), 0);
    assert_eq!(counts, None);
    world.report(client, true);
    world.report(client, true);
    assert_eq!(
        world.faults,
        [FaultCode::Misshapen, FaultCode::DuplicateReport]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn records_name_who_is_in_the_sum_whatever_is_lost(seed: u32, trouble in 0.0f64..0.3) {
        let mut world = World::new(Rule::FedAvg);
        let mut rng = generator(seed, Purpose::ClientSampling, 1);
        for _ in 0..400 {
            if world.room.global().0 >= ROUNDS {
                break;
            }
            let client = ClientId(rng.random_range(1..=CLIENTS));
            let process = ProcessId(rng.random_range(1..3));
            let bad = rng.random_bool(trouble);
            match (rng.random_range(0..20), bad) {
                (0..14, _) => world.report(client, !bad),
                // Started anew, noticed or not; and a room that believes it lost.
                (14, true) => world.new_part(process),
                (15, true) => {
                    world.new_part(process);
                    world.room.process_lost(process, world.now);
                }
                (16, true) => world.room.process_lost(process, world.now),
                _ => {
                    for (round, attempt, process) in std::mem::take(&mut world.collects) {
                        // Of another attempt, twice, or never.
                        let attempt = attempt + u32::from(rng.random_bool(trouble));
                        for _ in 0..2 {
                            if !rng.random_bool(trouble) {
                                let partial = world.partial(round, attempt, process);
                                world.room.collected(process, partial, world.now);
                            }
                        }
                    }
                    world.carry_out();
                    world.pass(700);
                }
            }
            world.carry_out();
        }
        world.check();
        if trouble < 0.05 {
            prop_assert!(!world.ended.is_empty());
        }
    }
}
