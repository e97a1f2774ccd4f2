//! What a session does with frames that another one has read already.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::*;
use crate::adapter::Matrix;
use crate::codec::encode_binary;
use crate::protocol::{ClientId, ModelInfo};
use crate::settings::RoomSettings;

/// A session that was welcomed and has its texts.
fn welcomed() -> Session<ChaCha8Rng> {
    let config = SessionConfig {
        room: "ROOM".into(),
        name: "Ada".into(),
        resume: None,
    };
    let mut session = Session::new(config, ChaCha8Rng::seed_from_u64(1), 0);
    session.opened();
    let welcome = Welcome {
        protocol: PROTOCOL_VERSION,
        room: "ROOM".into(),
        client: ClientId(1),
        resume: "token".into(),
        shard: 0,
        settings: RoomSettings::default(),
        model: ModelInfo::default(),
        recorded: false,
        history: Vec::new(),
        evaluations: Vec::new(),
    };
    let welcome = ServerMessage::Welcome(Box::new(welcome));
    session.text(&encode_text(&welcome), 1);
    session.prepared(4, 8);
    session.take_actions();
    session
}

#[test]
fn a_known_global_adapter_does_what_its_frame_does() {
    let adapter = Adapter {
        matrices: [("w".to_owned(), Matrix::zeros(2, 3))].into(),
    };
    let hash = adapter.hash();
    let frame = encode_binary(&ServerHeader::Global { round: 2, hash }, &adapter);
    let mut reader = welcomed();
    reader.binary(&frame, 5);
    let global = reader.global().cloned().unwrap();
    let mut knower = welcomed();
    knower.binary_known(global.clone(), frame.len(), 5);
    assert_eq!(knower.take_actions(), reader.take_actions());
    assert_eq!(knower.next_tick(), reader.next_tick());
    assert!(Arc::ptr_eq(
        &knower.global().unwrap().adapter,
        &global.adapter
    ));
}

#[test]
fn a_known_global_adapter_needs_a_connection_too() {
    let mut session = welcomed();
    session.closed(5);
    session.take_actions();
    let adapter = Arc::new(Adapter::default());
    let hash = adapter.hash();
    let global = Global {
        round: 1,
        hash,
        adapter,
    };
    session.binary_known(global, 10, 6);
    assert!(session.global().is_none());
    assert!(session.take_actions().is_empty());
}
