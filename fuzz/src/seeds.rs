//! Where fuzzers begin: good input of every kind, small.

use std::collections::BTreeMap;

use fl_core::adapter::{Adapter, AdapterHash, Matrix};
use fl_core::codec::{Tensor, Type, encode_adapter, encode_binary, encode_tensors, encode_text};
use fl_core::compression::{Compression, Feedback};
use fl_core::error::Fault;
use fl_core::protocol::{
    ClientHeader, ClientId, ClientMessage, Evaluated, Exclusion, ModelInfo, PROTOCOL_VERSION,
    PhaseView, Progress, Receipt, Report, RoomView, RoundOutcome, RoundRecord, ServerHeader,
    ServerMessage, Stage, Welcome, WorkOrder,
};
use fl_core::settings::RoomSettings;
use fl_core::task::Task;
use learner::Learner;
use learner::testing;

/// Two small matrices, the layout of the room that targets stand for.
pub fn adapter() -> Adapter {
    let matrix = |rows: usize, columns: usize| Matrix {
        rows,
        columns,
        values: (0..rows * columns).map(|n| n as f32 * 0.25 - 1.0).collect(),
    };
    Adapter {
        matrices: [
            ("a.lora_A.weight".to_owned(), matrix(2, 3)),
            ("a.lora_B.weight".to_owned(), matrix(4, 2)),
        ]
        .into(),
    }
}

/// The seeds of the target of this name.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "client_frames" => client_frames(),
        "server_frames" => server_frames(),
        "body" => bodies(),
        "compression" => compressed(),
        "task" => tasks(),
        "texts" => texts(),
        "peft" => vec![peft(None), peft(Some(1))],
        _ => panic!("there is no target {target}"),
    }
}

fn report() -> Report {
    Report {
        round: 3,
        attempt: 1,
        base: AdapterHash([7; 32]),
        gold: 8,
        soft: 20,
        steps: 12,
        loss_first: 0.7,
        loss_last: 0.25,
        confidence: 0.875,
        work_ms: 1234,
    }
}

fn client_frames() -> Vec<Vec<u8>> {
    let messages = [
        ClientMessage::Hello {
            protocol: PROTOCOL_VERSION,
            room: "ABCDEF".into(),
            name: "Ada".into(),
            resume: Some("0123456789abcdef".into()),
        },
        ClientMessage::Ready {
            gold: 8,
            unlabelled: 32,
        },
        ClientMessage::Progress(Progress {
            round: 3,
            stage: Stage::Training,
            done: 4,
            total: 10,
            loss: Some(0.5),
        }),
        ClientMessage::Declined {
            round: 3,
            reason: "no memory".into(),
        },
        ClientMessage::Leave,
    ];
    let mut seeds: Vec<Vec<u8>> = messages
        .iter()
        .map(|m| encode_text(m).into_bytes())
        .collect();
    let header = ClientHeader::Report(report());
    seeds.extend(
        bodies()
            .iter()
            .map(|body| fl_core::codec::encode_frame(&header, body)),
    );
    seeds
}

fn record(outcome: RoundOutcome) -> RoundRecord {
    RoundRecord {
        round: 3,
        attempt: 2,
        outcome,
        selected: 2,
        reported: 1,
        participants: vec![ClientId(4)],
        excluded: vec![Exclusion {
            client: ClientId(5),
            reason: "it left the room".into(),
        }],
        gold: 8,
        soft: 20,
        loss: Some(0.25),
        duration_ms: 900,
        bytes_up: 4321,
    }
}

fn server_frames() -> Vec<Vec<u8>> {
    let hash = adapter().hash();
    let evaluated = Evaluated {
        round: 3,
        hash,
        count: 300,
        accuracy: 0.75,
        macro_f1: 0.5,
        loss: 0.625,
    };
    let welcome = Welcome {
        protocol: PROTOCOL_VERSION,
        room: "ABCDEF".into(),
        client: ClientId(4),
        resume: "0123456789abcdef".into(),
        shard: 1,
        settings: RoomSettings::default(),
        model: ModelInfo::default(),
        recorded: true,
        history: vec![record(RoundOutcome::Completed { hash })],
        evaluations: vec![evaluated.clone()],
    };
    let view = RoomView {
        code: "ABCDEF".into(),
        completed: 2,
        phase: PhaseView::Working {
            round: 3,
            attempt: 1,
            selected: 2,
            reported: 1,
            deadline_ms: 5000,
        },
        connected: 2,
        ready: 2,
        needed: 2,
        members: Vec::new(),
    };
    let abandoned = RoundOutcome::Abandoned {
        reason: "no update came in".into(),
    };
    let messages = [
        ServerMessage::Welcome(Box::new(welcome)),
        ServerMessage::Refused(Fault::replaced()),
        ServerMessage::Fault(Fault::malformed("What is this?")),
        ServerMessage::Room(view),
        ServerMessage::Work(WorkOrder {
            round: 3,
            attempt: 1,
            base: hash,
            deadline_ms: 5000,
        }),
        ServerMessage::Cancel { round: 3 },
        ServerMessage::Receipt(Receipt {
            round: 3,
            fault: None,
        }),
        ServerMessage::RoundEnded(record(abandoned)),
        ServerMessage::Evaluated(evaluated),
        ServerMessage::Heartbeat,
    ];
    let mut seeds: Vec<Vec<u8>> = messages
        .iter()
        .map(|m| encode_text(m).into_bytes())
        .collect();
    seeds.push(encode_binary(
        &ServerHeader::Global { round: 3, hash },
        &adapter(),
    ));
    seeds
}

fn bodies() -> Vec<Vec<u8>> {
    let tensor = |kind, values: &[f32]| Tensor {
        kind,
        matrix: Matrix {
            rows: 1,
            columns: values.len(),
            values: values.to_vec(),
        },
    };
    let mixed: BTreeMap<String, Tensor> = [
        ("f16".to_owned(), tensor(Type::F16, &[0.5, -2.0])),
        ("i8".to_owned(), tensor(Type::I8, &[-128.0, 127.0, 0.0])),
        ("u32".to_owned(), tensor(Type::U32, &[0.0, 16_777_215.0])),
    ]
    .into();
    vec![
        encode_adapter(&adapter()),
        encode_tensors(&mixed),
        encode_adapter(&Adapter::default()),
    ]
}

fn compressed() -> Vec<Vec<u8>> {
    let kinds = [
        Compression::F32,
        Compression::F16,
        Compression::Int8,
        Compression::TopK { share: 0.25 },
    ];
    let mut update = adapter();
    for matrix in update.matrices.values_mut() {
        matrix.values.iter_mut().for_each(|value| *value += 0.125);
    }
    let pack = |(kind, compression): (u8, Compression)| {
        let (packed, _) = compression.packed(&update, &adapter(), &Feedback::default());
        [&[kind, 128], &encode_tensors(&packed)[..]].concat()
    };
    (0..).zip(kinds).map(pack).collect()
}

fn tasks() -> Vec<Vec<u8>> {
    let shipped = [
        include_str!("../../tasks/reviews.toml"),
        include_str!("../../tasks/subjectivity.toml"),
    ];
    let written = [Task::reviews(), Task::news()].map(|task| toml::to_string(&task).unwrap());
    let shipped = shipped.map(str::to_owned).into_iter();
    shipped.chain(written).map(String::into_bytes).collect()
}

fn texts() -> Vec<Vec<u8>> {
    let files = [
        "\0text,label\ngood food,positive\n\"cold, and\nslow\",0\nno label,\n",
        "\0text\tlabel\r\nfine\t1\r\n\r\npoor\tnegative\r\n",
        "\0label;text\nnegative;a; b\n1;c\n",
        "\0{\"text\":\"good\",\"label\":true}\n\n{\"text\":\"bad\",\"label\":null}\n{\"text\":1}\n",
        "\x01text,second,label\na,b,0\nc,,1\n",
        "\x01{\"text\":\"a\",\"second\":\"b\",\"label\":\"positive\"}\n",
    ];
    files.map(|file| file.as_bytes().to_vec()).into()
}

/// An adapter of the model that adapters are read for, in its top layers if they are named.
fn peft(top_layers: Option<u32>) -> Vec<u8> {
    let lora = fl_core::settings::LoraSettings {
        rank: 1,
        top_layers,
        ..testing::lora()
    };
    let learner = Learner::new(crate::peft::base(), &testing::task(), &lora).unwrap();
    let weights = learner::peft::weights(&learner.initial_adapter(1));
    let config = learner::peft::config(&crate::peft::base(), &lora, "tiny");
    let length = (config.len() as u16).to_le_bytes();
    [&length[..], &config, &weights].concat()
}
