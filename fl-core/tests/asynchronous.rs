//! A client of an asynchronous room whose update comes when no round runs.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::sync::Arc;

use fl_core::adapter::{Adapter, Matrix};
use fl_core::error::FaultCode;
use fl_core::protocol::{
    ClientMessage, ModelInfo, PROTOCOL_VERSION, Report, ServerMessage, WorkOrder,
};
use fl_core::room::{ConnectionId, Effect, Hello, Room};
use fl_core::settings::{Quorum, RoomSettings, RoundMode};

const ADA: ConnectionId = ConnectionId(1);
const BOB: ConnectionId = ConnectionId(2);
const ADA_AGAIN: ConnectionId = ConnectionId(3);

fn adapter(value: f32) -> Adapter {
    let matrix = Matrix {
        rows: 1,
        columns: 1,
        values: vec![value],
    };
    Adapter {
        matrices: [("w".to_owned(), matrix)].into(),
    }
}

/// Two clients at work in a room whose rounds end with one update.
fn working() -> Room {
    let mut settings = RoomSettings::default();
    settings.round.mode = RoundMode::Asynchronous { max_staleness: 4 };
    settings.round.goal = 1;
    settings.round.quorum = Quorum::Count(2);
    settings.check_for_room().unwrap();
    let first = Arc::new(adapter(0.0));
    let mut room = Room::new("ROOM".into(), settings, ModelInfo::default(), first);
    for connection in [ADA, BOB] {
        join(&mut room, connection, None);
    }
    room
}

fn join(room: &mut Room, connection: ConnectionId, resume: Option<&str>) {
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        name: "Ada".into(),
        resume: resume.map(str::to_owned),
    };
    room.hello(connection, hello, format!("token of {}", connection.0), 0);
    let (gold, unlabelled) = (4, 4);
    room.message(connection, ClientMessage::Ready { gold, unlabelled }, 0);
}

/// The newest order for a connection.
fn order(effects: &[Effect], to: ConnectionId) -> Option<WorkOrder> {
    let orders = effects.iter().rev();
    orders.into_iter().find_map(|effect| match effect {
        Effect::Send(connection, ServerMessage::Work(order)) if *connection == to => {
            Some(order.clone())
        }
        _ => None,
    })
}

fn report(room: &mut Room, from: ConnectionId, order: &WorkOrder, value: f32) {
    let report = Report {
        round: order.round,
        attempt: order.attempt,
        base: order.base,
        gold: 4,
        soft: 0,
        steps: 1,
        loss_first: 0.7,
        loss_last: 0.6,
        confidence: 0.0,
        work_ms: 5,
    };
    room.report(from, &report, &adapter(value), 100, 10);
}

#[test]
fn update_that_comes_while_a_round_is_stored_goes_into_the_next() {
    let mut room = working();
    let effects = room.take_effects();
    let [ada, bob] = [ADA, BOB].map(|to| order(&effects, to).unwrap());
    report(&mut room, ADA, &ada, 1.0);
    assert!(room.has_to_wait(BOB));
    assert!(!room.has_to_wait(ADA), "its update is in the round");
    room.stored(20);
    assert!(!room.has_to_wait(BOB));
    report(&mut room, BOB, &bob, 1.0);
    room.stored(30);
    // 1, then its mean with nothing else: 1 + 1/√2.
    let (round, global, _) = room.global();
    assert_eq!(round, 2);
    let expected = 1.0 + std::f32::consts::FRAC_1_SQRT_2;
    assert!((global.matrices["w"].values[0] - expected).abs() < 1e-6);
}

#[test]
fn update_without_a_round_is_refused_and_its_client_works_again() {
    let mut room = working();
    let effects = room.take_effects();
    let [ada, bob] = [ADA, BOB].map(|to| order(&effects, to).unwrap());
    report(&mut room, ADA, &ada, 1.0);
    room.disconnected(ADA, 15);
    room.stored(20);
    room.take_effects();
    assert!(
        !room.has_to_wait(BOB),
        "nobody knows when the quorum is back"
    );
    report(&mut room, BOB, &bob, 1.0);
    let refused = room.take_effects().into_iter().any(|effect| {
        matches!(effect, Effect::Send(BOB, ServerMessage::Receipt(receipt))
            if receipt.fault.as_ref().is_some_and(|fault| fault.code == FaultCode::StaleRound))
    });
    assert!(refused);
    join(&mut room, ADA_AGAIN, Some("token of 1"));
    let effects = room.take_effects();
    let again = order(&effects, BOB).unwrap();
    assert_eq!((again.round, again.base), (2, room.global().2));
    assert!(effects.contains(&Effect::SendGlobal(ADA_AGAIN)));
}

#[test]
fn client_whose_update_is_refused_works_again() {
    let mut room = working();
    let effects = room.take_effects();
    let [ada, bob] = [ADA, BOB].map(|to| order(&effects, to).unwrap());
    report(&mut room, BOB, &bob, f32::NAN);
    report(&mut room, ADA, &ada, 1.0);
    let stored = room
        .take_effects()
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Store(record, ..) => Some(record),
            _ => None,
        });
    let excluded = stored.unwrap().excluded;
    assert!(excluded[0].reason.starts_with("its update was refused"));
    room.stored(20);
    assert_eq!(order(&room.take_effects(), BOB).unwrap().round, 2);
}

#[test]
fn work_given_up_between_two_rounds_is_not_waited_for() {
    let mut room = working();
    let effects = room.take_effects();
    let [ada, bob] = [ADA, BOB].map(|to| order(&effects, to).unwrap());
    report(&mut room, ADA, &ada, 1.0);
    let declined = ClientMessage::Declined {
        round: bob.round,
        reason: "no\u{0}\nmemory".into(),
    };
    room.message(BOB, declined, 15);
    assert!(!room.has_to_wait(BOB));
    room.stored(20);
    assert_eq!(order(&room.take_effects(), BOB).unwrap().round, 2);
}
