//! Each wish that a room cannot meet gets its typed answer, and nobody else feels it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::sync::Arc;

use fl_core::adapter::{Adapter, AdapterHash, Matrix};
use fl_core::error::FaultCode;
use fl_core::protocol::{
    ClientId, ClientMessage, Exclusion, ModelInfo, PROTOCOL_VERSION, PhaseView, Report,
    RoundOutcome, RoundRecord, ServerMessage,
};
use fl_core::room::{Activity, ConnectionId, Effect, Hello, OwnerCommand, Room, RoomState};
use fl_core::settings::RoomSettings;

const ADA: ConnectionId = ConnectionId(1);
const BOB: ConnectionId = ConnectionId(2);
const EVE: ConnectionId = ConnectionId(3);

fn adapter(value: f32) -> Adapter {
    let matrix = Matrix {
        rows: 1,
        columns: 2,
        values: vec![value; 2],
    };
    Adapter {
        matrices: [("w".to_owned(), matrix)].into(),
    }
}

fn room(change: impl FnOnce(&mut RoomSettings)) -> Room {
    let mut settings = RoomSettings::default();
    change(&mut settings);
    settings.check().unwrap();
    Room::new(
        "ABCDEF".into(),
        settings,
        ModelInfo::default(),
        Arc::new(adapter(0.0)),
    )
}

fn hello(room: &mut Room, connection: ConnectionId, resume: Option<&str>) -> Vec<Effect> {
    let hello = Hello {
        protocol: PROTOCOL_VERSION,
        name: "Ada".into(),
        resume: resume.map(str::to_owned),
    };
    room.hello(connection, hello, format!("token of {}", connection.0), 0);
    room.take_effects()
}

/// A room with two clients at work on round 1.
fn working() -> Room {
    let mut room = room(|_| {});
    for connection in [ADA, BOB] {
        hello(&mut room, connection, None);
        room.message(
            connection,
            ClientMessage::Ready {
                gold: 4,
                unlabelled: 10,
            },
            0,
        );
    }
    room.take_effects();
    room
}

fn report(room: &Room) -> Report {
    Report {
        round: 1,
        attempt: 1,
        base: room.global().2,
        gold: 4,
        soft: 0,
        steps: 1,
        loss_first: 0.7,
        loss_last: 0.6,
        confidence: 0.0,
        work_ms: 5,
    }
}

fn refusal(effects: &[Effect]) -> Option<FaultCode> {
    effects.iter().find_map(|effect| match effect {
        Effect::Close(_, fault) => Some(fault.code),
        _ => None,
    })
}

/// Sends a report and gives its receipt's fault, if any.
fn send(
    room: &mut Room,
    from: ConnectionId,
    report: &Report,
    adapter: &Adapter,
) -> Option<FaultCode> {
    room.report(from, report, adapter, 100, 10);
    let effects = room.take_effects();
    let receipt = effects.iter().find_map(|effect| match effect {
        Effect::Send(to, ServerMessage::Receipt(receipt)) if *to == from => Some(receipt),
        _ => None,
    });
    receipt.unwrap().fault.as_ref().map(|fault| fault.code)
}

#[test]
fn full_room_refuses_a_stranger_but_not_a_member() {
    let mut room = room(|settings| settings.round.capacity = 2);
    hello(&mut room, ADA, None);
    hello(&mut room, BOB, None);
    assert_eq!(
        refusal(&hello(&mut room, EVE, None)),
        Some(FaultCode::RoomFull)
    );
    let again = hello(&mut room, EVE, Some("token of 1"));
    assert_eq!(
        refusal(&again),
        Some(FaultCode::Replaced),
        "Ada's old connection makes way"
    );
}

#[test]
fn other_protocol_version_is_refused() {
    let mut room = room(|_| {});
    let hello = Hello {
        protocol: 99,
        name: "Ada".into(),
        resume: None,
    };
    room.hello(ADA, hello, "token".into(), 0);
    assert_eq!(
        refusal(&room.take_effects()),
        Some(FaultCode::ProtocolVersion)
    );
}

#[test]
fn empty_and_long_names_are_refused() {
    for name in ["", "  \u{7}", &"x".repeat(41)] {
        let mut room = room(|_| {});
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            name: name.into(),
            resume: None,
        };
        room.hello(ADA, hello, "token".into(), 0);
        assert_eq!(refusal(&room.take_effects()), Some(FaultCode::Malformed));
    }
}

#[test]
fn second_tab_with_one_identity_replaces_the_first() {
    let mut room = working();
    let effects = hello(&mut room, EVE, Some("token of 1"));
    assert!(effects.iter().any(|effect| {
        matches!(effect, Effect::Close(ADA, fault) if fault.code == FaultCode::Replaced)
    }));
    // The old socket's end comes later, and must not put the new one out.
    room.disconnected(ADA, 5);
    assert_eq!(room.view(5).connected, 2);
}

#[test]
fn bad_updates_are_answered_and_leave_the_sum_alone() {
    let mut room = working();
    let good = report(&room);
    let misshapen = Adapter {
        matrices: [("v".to_owned(), Matrix::zeros(1, 2))].into(),
    };
    let cases = [
        (
            Report {
                round: 7,
                ..good.clone()
            },
            adapter(9.0),
            FaultCode::StaleRound,
        ),
        (
            Report {
                attempt: 2,
                ..good.clone()
            },
            adapter(9.0),
            FaultCode::StaleRound,
        ),
        (
            Report {
                base: AdapterHash([9; 32]),
                ..good.clone()
            },
            adapter(9.0),
            FaultCode::WrongBase,
        ),
        (
            Report {
                gold: 5,
                ..good.clone()
            },
            adapter(9.0),
            FaultCode::ExampleCount,
        ),
        (
            Report {
                soft: 11,
                ..good.clone()
            },
            adapter(9.0),
            FaultCode::ExampleCount,
        ),
        (
            Report {
                loss_last: f32::NAN,
                ..good.clone()
            },
            adapter(9.0),
            FaultCode::Malformed,
        ),
        (good.clone(), adapter(f32::INFINITY), FaultCode::NonFinite),
        (good.clone(), misshapen, FaultCode::Misshapen),
    ];
    for (report, adapter, code) in cases {
        assert_eq!(send(&mut room, ADA, &report, &adapter), Some(code));
    }
    assert_eq!(send(&mut room, ADA, &good, &adapter(1.0)), None);
    assert_eq!(
        send(&mut room, ADA, &good, &adapter(9.0)),
        Some(FaultCode::DuplicateReport)
    );
    room.report(BOB, &good, &adapter(3.0), 100, 10);
    let stored = room
        .take_effects()
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Store(record, adapter, _) => Some((record, adapter)),
            _ => None,
        });
    let (record, mean) = stored.unwrap();
    assert_eq!(*mean, adapter(2.0));
    assert_eq!((record.gold, record.bytes_up, record.reported), (8, 200, 2));
}

#[test]
fn unselected_client_cannot_report() {
    let mut room = working();
    hello(&mut room, EVE, None);
    room.message(
        EVE,
        ClientMessage::Ready {
            gold: 4,
            unlabelled: 10,
        },
        5,
    );
    let report = report(&room);
    assert_eq!(
        send(&mut room, EVE, &report, &adapter(9.0)),
        Some(FaultCode::NotSelected)
    );
}

#[test]
fn nothing_is_announced_before_it_is_stored() {
    let mut room = working();
    let (report, base) = (report(&room), room.global().2);
    room.report(ADA, &report, &adapter(1.0), 1, 1);
    room.report(BOB, &report, &adapter(1.0), 1, 2);
    let announced = |effects: &[Effect]| effects.contains(&Effect::BroadcastGlobal);
    assert!(!announced(&room.take_effects()));
    assert_eq!(room.global().2, base);
    room.stored(3);
    assert!(announced(&room.take_effects()));
    assert_eq!(room.global().2, adapter(1.0).hash());
}

#[test]
fn round_that_cannot_be_stored_is_tried_again() {
    let mut room = working();
    let report = report(&room);
    room.report(ADA, &report, &adapter(1.0), 1, 1);
    room.report(BOB, &report, &adapter(1.0), 1, 2);
    room.store_failed("the disk is full", 3);
    let last = room.history().last().unwrap();
    assert!(matches!(&last.outcome, RoundOutcome::Abandoned { reason } if reason.contains("disk")));
    room.tick(room.next_tick().unwrap());
    assert!(matches!(
        room.view(9000).phase,
        PhaseView::Working {
            round: 1,
            attempt: 2,
            ..
        }
    ));
}

#[test]
fn client_that_leaves_leaves_the_quorum() {
    let mut room = working();
    let report = report(&room);
    room.report(ADA, &report, &adapter(1.0), 1, 1);
    room.message(BOB, ClientMessage::Leave, 2);
    let stored = room
        .take_effects()
        .into_iter()
        .any(|e| matches!(e, Effect::Store(..)));
    assert!(stored, "the round ends with the update that is there");
}

#[test]
fn broken_connection_is_waited_for_and_then_left_out() {
    let mut room = working();
    let report = report(&room);
    room.report(ADA, &report, &adapter(1.0), 1, 1);
    room.disconnected(BOB, 1000);
    room.tick(15_999);
    assert!(matches!(room.view(15_999).phase, PhaseView::Working { .. }));
    assert_eq!(room.next_tick(), Some(16_000));
    room.tick(16_000);
    room.stored(16_000);
    let last = room.history().last().unwrap();
    assert_eq!((last.participants.len(), last.excluded.len()), (1, 1));
}

#[test]
fn reloaded_tab_gets_its_work_again() {
    let mut room = working();
    room.disconnected(BOB, 1000);
    hello(&mut room, EVE, Some("token of 2"));
    room.message(
        EVE,
        ClientMessage::Ready {
            gold: 4,
            unlabelled: 10,
        },
        3000,
    );
    let again = room.take_effects().into_iter().any(|effect| {
        matches!(effect, Effect::Send(EVE, ServerMessage::Work(order)) if order.round == 1)
    });
    assert!(again);
    let report = report(&room);
    assert_eq!(send(&mut room, EVE, &report, &adapter(1.0)), None);
}

#[test]
fn deadline_without_updates_abandons_and_rests() {
    let mut room = working();
    let deadline = room.next_tick().unwrap();
    room.tick(deadline);
    let last = room.history().last().unwrap();
    assert!(matches!(last.outcome, RoundOutcome::Abandoned { .. }));
    assert_eq!(last.excluded.len(), 2);
    assert_eq!(room.view(deadline).phase, PhaseView::Waiting);
    assert_eq!(room.next_tick(), Some(deadline + 1000));
}

#[test]
fn owner_pauses_steps_removes_and_finishes() {
    let mut room = working();
    assert_eq!(
        room.command(OwnerCommand::Remove(ClientId(77)), 1)
            .unwrap_err()
            .code,
        FaultCode::UnknownClient
    );
    let report = report(&room);
    room.report(ADA, &report, &adapter(1.0), 1, 1);
    room.command(OwnerCommand::Pause, 2).unwrap();
    room.command(OwnerCommand::NextRound, 3).unwrap();
    room.stored(4);
    assert_eq!(
        room.view(5).phase,
        PhaseView::Paused,
        "the running round ended, none followed"
    );
    room.command(OwnerCommand::NextRound, 6).unwrap();
    assert!(matches!(
        room.view(7).phase,
        PhaseView::Working { round: 2, .. }
    ));
    room.take_effects();
    room.command(OwnerCommand::Remove(ClientId(2)), 8).unwrap();
    assert_eq!(refusal(&room.take_effects()), Some(FaultCode::Removed));
    room.command(OwnerCommand::Finish, 9).unwrap();
    assert_eq!(room.view(9).phase, PhaseView::Finished);
    let late = room.command(OwnerCommand::Start, 10).unwrap_err();
    assert_eq!(late.code, FaultCode::RoomFinished);
}

#[test]
fn next_round_without_ready_clients_says_so() {
    let mut room = room(|_| {});
    let fault = room.command(OwnerCommand::NextRound, 0).unwrap_err();
    assert_eq!(fault.code, FaultCode::TooFewClients);
}

/// A client that is forgotten may stand in the history: nobody else may count under its name there.
#[test]
fn identity_in_the_history_is_not_given_again_after_a_restart() {
    let record = RoundRecord {
        round: 1,
        attempt: 1,
        outcome: RoundOutcome::Abandoned {
            reason: "no update came in".into(),
        },
        selected: 2,
        reported: 0,
        participants: vec![ClientId(5)],
        excluded: vec![Exclusion {
            client: ClientId(7),
            reason: "it left the room".into(),
        }],
        gold: 0,
        soft: 0,
        loss: None,
        duration_ms: 1,
        bytes_up: 0,
    };
    let mut room = Room::restore(RoomState {
        code: "ABCDEF".into(),
        settings: RoomSettings::default(),
        model: ModelInfo::default(),
        global: Arc::new(adapter(0.0)),
        optimizer: Arc::default(),
        completed: 0,
        activity: Activity::Running,
        members: Vec::new(),
        history: vec![record],
        evaluations: Vec::new(),
    });
    let welcomed = hello(&mut room, ADA, None)
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Send(_, ServerMessage::Welcome(welcome)) => Some(welcome.client),
            _ => None,
        });
    assert_eq!(welcomed, Some(ClientId(8)));
}
