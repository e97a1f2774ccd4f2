//! A room goes by the rule of its settings, and says whose update the rule left out.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::sync::Arc;

use fl_core::adapter::{Adapter, Matrix};
use fl_core::error::FaultCode;
use fl_core::protocol::{
    ClientId, ClientMessage, ModelInfo, PROTOCOL_VERSION, Report, RoundOutcome, RoundRecord,
    ServerMessage,
};
use fl_core::room::{ConnectionId, Effect, Hello, Room};
use fl_core::settings::{AggregationSettings, Quorum, RoomSettings, Rule, ServerOptimizer};

/// A pair of LoRA matrices of this many values each.
fn adapter(a: f32, b: f32, width: usize) -> Adapter {
    let matrix = |rows, columns, value| Matrix {
        rows,
        columns,
        values: vec![value; rows * columns],
    };
    let matrices = [
        ("m.lora_A.weight".to_owned(), matrix(1, width, a)),
        ("m.lora_B.weight".to_owned(), matrix(width, 1, b)),
    ];
    Adapter {
        matrices: matrices.into(),
    }
}

/// A room with this many clients at work on round 1.
fn working(aggregation: AggregationSettings, clients: u32, initial: Adapter) -> Room {
    let mut settings = RoomSettings {
        aggregation,
        ..RoomSettings::default()
    };
    settings.round.quorum = Quorum::Count(clients);
    settings.check_for_room().unwrap();
    let (code, model) = ("ABCDEF".into(), ModelInfo::default());
    let mut room = Room::new(code, settings, model, Arc::new(initial));
    for client in 1..=clients {
        let connection = ConnectionId(client.into());
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            name: "Ada".into(),
            resume: None,
        };
        room.hello(connection, hello, format!("token of {client}"), 0);
        let (gold, unlabelled) = (4, 10);
        room.message(connection, ClientMessage::Ready { gold, unlabelled }, 0);
    }
    room.take_effects();
    room
}

/// Sends a report and gives its receipt's fault, and the round to be stored, if any.
fn send(room: &mut Room, client: u32, adapter: &Adapter) -> (Option<FaultCode>, Option<Stored>) {
    let (completed, _, base) = room.global();
    let report = Report {
        round: completed + 1,
        attempt: 1,
        base,
        gold: 4,
        soft: 0,
        steps: 1,
        loss_first: 0.7,
        loss_last: 0.6,
        confidence: 0.0,
        work_ms: 5,
    };
    room.report(ConnectionId(client.into()), &report, adapter, 100, 10);
    let (mut fault, mut stored) = (None, None);
    for effect in room.take_effects() {
        match effect {
            Effect::Send(_, ServerMessage::Receipt(receipt)) => {
                fault = receipt.fault.map(|fault| fault.code);
            }
            Effect::Store(record, adapter, _) => stored = Some((record, adapter)),
            _ => {}
        }
    }
    (fault, stored)
}

type Stored = (RoundRecord, Arc<Adapter>);

fn by(rule: Rule) -> AggregationSettings {
    AggregationSettings {
        rule,
        ..AggregationSettings::default()
    }
}

#[test]
fn update_that_the_rule_leaves_out_is_on_record() {
    let rule = Rule::MultiKrum {
        attackers: 1,
        chosen: 0,
    };
    let mut room = working(by(rule), 5, adapter(0.0, 0.0, 2));
    let mut stored = None;
    for (client, value) in (1..).zip([1.0, 1.5, 900.0, 2.0, 2.5]) {
        stored = send(&mut room, client, &adapter(value, value, 2)).1;
    }
    let (record, made) = stored.unwrap();
    assert_eq!(*made, adapter(1.75, 1.75, 2));
    assert_eq!(record.participants, [1, 2, 4, 5].map(ClientId));
    assert_eq!(
        (record.reported, record.excluded[0].client),
        (4, ClientId(3))
    );
}

#[test]
fn round_without_the_rules_number_is_abandoned_with_its_reason() {
    let mut room = working(by(Rule::Krum { attackers: 1 }), 2, adapter(0.0, 0.0, 2));
    for client in [1, 2] {
        assert!(send(&mut room, client, &adapter(1.0, 1.0, 2)).1.is_none());
    }
    let outcome = &room.history().last().unwrap().outcome;
    let RoundOutcome::Abandoned { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(reason, "krum needs 5 updates, 2 count");
}

#[test]
fn update_beyond_the_memory_is_answered_and_not_waited_for() {
    // A MiB holds one update of twice 100,000 values.
    let settings = AggregationSettings {
        memory_mib: 1,
        ..by(Rule::Median)
    };
    let update = adapter(1.0, 1.0, 100_000);
    let mut room = working(settings, 2, update.clone());
    assert_eq!(send(&mut room, 1, &update).0, None);
    let (fault, stored) = send(&mut room, 2, &update);
    assert_eq!(fault, Some(FaultCode::Overloaded));
    let (record, _) = stored.unwrap();
    assert_eq!((record.reported, record.excluded.len()), (1, 1));
}

#[test]
fn frozen_factor_need_not_be_sent() {
    let mut room = working(by(Rule::FfaLora), 2, adapter(5.0, 0.0, 2));
    let only_b = |value| {
        let mut part = adapter(9.0, value, 2);
        part.matrices.remove("m.lora_A.weight");
        part
    };
    assert_eq!(send(&mut room, 1, &only_b(1.0)).0, None);
    let (_, made) = send(&mut room, 2, &adapter(9.0, 3.0, 2)).1.unwrap();
    assert_eq!(*made, adapter(5.0, 2.0, 2));
}

#[test]
fn server_optimizer_moves_on_when_a_round_is_stored() {
    let settings = AggregationSettings {
        server_optimizer: ServerOptimizer::FedAvgM {
            learning_rate: 1.0,
            momentum: 0.5,
        },
        ..AggregationSettings::default()
    };
    let mut room = working(settings, 1, adapter(0.0, 0.0, 2));
    let (_, first) = send(&mut room, 1, &adapter(1.0, 1.0, 2)).1.unwrap();
    assert_eq!(*first, adapter(1.0, 1.0, 2));
    room.stored(20);
    let (_, second) = send(&mut room, 1, &adapter(2.0, 2.0, 2)).1.unwrap();
    assert_eq!(*second, adapter(2.5, 2.5, 2));
}
