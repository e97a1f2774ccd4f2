//! Every message survives its way through JSON, and carries the type that it says.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use fl_core::adapter::AdapterHash;
use fl_core::codec::{CLIENT_TEXT_LIMIT, SERVER_TEXT_LIMIT, decode_text, encode_text};
use fl_core::error::{Blame, Fault, FaultCode};
use fl_core::protocol::*;
use fl_core::settings::RoomSettings;

fn record() -> RoundRecord {
    RoundRecord {
        round: 2,
        attempt: 1,
        outcome: RoundOutcome::Completed {
            hash: AdapterHash([7; 32]),
        },
        selected: 3,
        reported: 2,
        participants: vec![ClientId(1), ClientId(4)],
        excluded: vec![Exclusion {
            client: ClientId(9),
            reason: "it left the room".into(),
        }],
        gold: 16,
        soft: 24,
        loss: Some(0.5),
        duration_ms: 4000,
        bytes_up: 99,
    }
}

fn server_messages() -> Vec<ServerMessage> {
    let fault = Fault {
        code: FaultCode::StaleRound,
        blame: Blame::Nobody,
        message: "Late.".into(),
        mend: "Go on.".into(),
    };
    let evaluated = Evaluated {
        round: 1,
        hash: AdapterHash([1; 32]),
        count: 300,
        accuracy: 0.75,
        macro_f1: 0.74,
        loss: 0.6,
    };
    let member = MemberView {
        id: ClientId(4),
        name: "Ada".into(),
        state: MemberState::Training,
        gold: 8,
        unlabelled: 48,
        progress: 0.25,
        loss: None,
        contributed: 3,
    };
    let phases = [
        PhaseView::Paused,
        PhaseView::Waiting,
        PhaseView::Finished,
        PhaseView::Working {
            round: 3,
            attempt: 1,
            selected: 3,
            reported: 1,
            deadline_ms: 9,
        },
    ];
    let room = |phase| {
        ServerMessage::Room(RoomView {
            code: "ABCDEF".into(),
            completed: 2,
            phase,
            connected: 3,
            ready: 2,
            needed: 2,
            members: vec![member.clone()],
        })
    };
    let welcome = Welcome {
        protocol: PROTOCOL_VERSION,
        room: "ABCDEF".into(),
        client: ClientId(4),
        resume: "secret".into(),
        shard: 3,
        settings: RoomSettings::default(),
        model: ModelInfo::default(),
        recorded: false,
        history: vec![record()],
        evaluations: vec![evaluated.clone()],
    };
    let order = WorkOrder {
        round: 3,
        attempt: 1,
        base: AdapterHash([3; 32]),
        deadline_ms: 1000,
    };
    let abandoned = RoundOutcome::Abandoned {
        reason: "no update came in".into(),
    };
    let mut messages = vec![
        ServerMessage::Welcome(Box::new(welcome)),
        ServerMessage::Refused(fault.clone()),
        ServerMessage::Fault(fault.clone()),
        ServerMessage::Work(order),
        ServerMessage::Cancel { round: 3 },
        ServerMessage::Receipt(Receipt {
            round: 3,
            fault: None,
        }),
        ServerMessage::Receipt(Receipt {
            round: 3,
            fault: Some(fault),
        }),
        ServerMessage::RoundEnded(record()),
        ServerMessage::RoundEnded(RoundRecord {
            outcome: abandoned,
            ..record()
        }),
        ServerMessage::Evaluated(evaluated),
        ServerMessage::Heartbeat,
    ];
    messages.extend(phases.map(room));
    messages
}

fn client_messages() -> Vec<ClientMessage> {
    vec![
        ClientMessage::Hello {
            protocol: 1,
            room: "ABCDEF".into(),
            name: "Ada".into(),
            resume: Some("secret".into()),
        },
        ClientMessage::Ready {
            gold: 8,
            unlabelled: 48,
        },
        ClientMessage::Progress(Progress {
            round: 3,
            stage: Stage::Labelling,
            done: 1,
            total: 6,
            loss: Some(0.4),
        }),
        ClientMessage::Declined {
            round: 3,
            reason: "out of memory".into(),
        },
        ClientMessage::Leave,
    ]
}

#[test]
fn server_messages_round_trip() {
    for message in server_messages() {
        let text = encode_text(&message);
        assert!(
            text.starts_with(&format!("{{\"type\":\"{}\"", message.kind())),
            "{text}"
        );
        assert_eq!(
            decode_text::<ServerMessage>(&text, SERVER_TEXT_LIMIT).unwrap(),
            message
        );
    }
}

#[test]
fn client_messages_round_trip() {
    for message in client_messages() {
        let text = encode_text(&message);
        assert!(
            text.starts_with(&format!("{{\"type\":\"{}\"", message.kind())),
            "{text}"
        );
        assert_eq!(
            decode_text::<ClientMessage>(&text, CLIENT_TEXT_LIMIT).unwrap(),
            message
        );
    }
}

#[test]
fn summary_cuts_lists_and_keeps_counts() {
    let summary = record().summary(1);
    assert_eq!(
        (
            summary.participants.len(),
            summary.reported,
            summary.selected
        ),
        (1, 2, 3)
    );
}
