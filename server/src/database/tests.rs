//! What is read back of a room.

use fl_core::adapter::Adapter;
use fl_core::protocol::RoundOutcome;

use super::*;

const ROOM: &str = "ABCDEF";

fn record(round: u32, attempt: u32, outcome: RoundOutcome) -> Change {
    Change::Round(Box::new(RoundRecord {
        round,
        attempt,
        outcome,
        selected: 1,
        reported: 0,
        participants: Vec::new(),
        excluded: Vec::new(),
        gold: 0,
        soft: 0,
        loss: None,
        duration_ms: 1,
        bytes_up: 0,
    }))
}

#[test]
fn completed_round_is_read_back_behind_any_number_of_failed_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = Database::open(&folder.path().join("lpfl.sqlite")).unwrap();
    let room = Change::Room(Box::new(NewRoom {
        code: ROOM.into(),
        owner: OwnerHash::from_bytes([0; 32]),
        settings: RoomSettings::default(),
        model: ModelInfo::default(),
        activity: Activity::Running,
    }));
    let hash = Adapter::default().hash();
    let completed = record(1, 1, RoundOutcome::Completed { hash });
    let attempts = HISTORY_KEPT as u32 + 5;
    let abandoned = (2..2 + attempts).map(|attempt| {
        let reason = "no update came in".into();
        record(2, attempt, RoundOutcome::Abandoned { reason })
    });
    let changes: Vec<Change> = [room, completed].into_iter().chain(abandoned).collect();
    let changes = changes.iter().map(|change| (ROOM, change));
    database.apply(changes).unwrap();
    let history = database.room(ROOM).unwrap().history;
    let places: Vec<_> = history.iter().map(|r| (r.round, r.attempt)).collect();
    assert_eq!(places.len(), HISTORY_KEPT + 1);
    assert_eq!(places[..2], [(1, 1), (2, 7)]);
}
