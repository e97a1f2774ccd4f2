//! What rooms' state in NATS goes through: it is read as it was written, and a leader that another
//! one has replaced writes nothing.

#[path = "../../tests/support/nats_server.rs"]
mod nats_server;
mod sweep;

use fl_core::adapter::{Adapter, Matrix};
use fl_core::aggregate::OptimizerState;
use fl_core::member::MemberRecord;
use fl_core::protocol::{ClientId, ModelInfo, RoundOutcome, RoundRecord};
use fl_core::room::Activity;
use fl_core::settings::RoomSettings;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::nats_server::TestNats;
use super::lease::{Taken, take};
use super::*;
use crate::secrets::OwnerHash;
use crate::store::{Change, NewRoom};

const ROOM: &str = "ABCDEF";

fn adapter(value: f32) -> Adapter {
    let mut matrix = Matrix::zeros(2, 3);
    matrix.values.fill(value);
    Adapter {
        matrices: [("w".to_owned(), matrix)].into(),
    }
}

fn record(round: u32, made: &Adapter) -> RoundRecord {
    RoundRecord {
        round,
        attempt: 1,
        outcome: RoundOutcome::Completed { hash: made.hash() },
        selected: 1,
        reported: 1,
        participants: vec![ClientId(1)],
        excluded: Vec::new(),
        gold: 4,
        soft: 0,
        loss: Some(0.5),
        duration_ms: 10,
        bytes_up: 100,
    }
}

fn member(id: u32, name: &str) -> MemberRecord {
    let token = vec![id as u8; 32];
    let record = serde_json::json!({
        "id": id, "name": name, "token": token, "shard": id, "contributed": 0,
    });
    serde_json::from_value(record).unwrap()
}

async fn cluster(nats: &TestNats) -> Cluster {
    let (url, credentials) = (nats.url(), None);
    Cluster::connect(&Nats { url, credentials }).await.unwrap()
}

/// Two processes, and a room that one of them has made.
async fn two_with_a_room(nats: &TestNats) -> (Cluster, Cluster) {
    let (a, b) = (cluster(nats).await, cluster(nats).await);
    let room = NewRoom {
        code: ROOM.into(),
        owner: OwnerHash::of("owner"),
        settings: RoomSettings::default(),
        model: ModelInfo::default(),
        activity: Activity::Running,
    };
    assert!(a.create(room.clone(), &adapter(0.0)).await.unwrap());
    assert!(!b.create(room, &adapter(9.0)).await.unwrap());
    (a, b)
}

async fn lead(cluster: &Cluster) -> (Keeper, CancellationToken) {
    let (loaded, deposed) = (cluster.load(ROOM).await.unwrap(), CancellationToken::new());
    let keeper = Keeper::start(
        cluster.clone(),
        loaded,
        deposed.clone(),
        &TaskTracker::new(),
    );
    (keeper, deposed)
}

async fn complete(keeper: &Keeper, round: u32, made: Adapter) -> Result<(), String> {
    let record = record(round, &made);
    keeper
        .complete(ROOM, record, made.into(), Arc::default())
        .await
}

#[tokio::test]
async fn replaced_leader_stores_nothing() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let (a, b) = two_with_a_room(&nats).await;
    let (old, old_deposed) = lead(&a).await;
    complete(&old, 1, adapter(1.0)).await.unwrap();
    let (new, new_deposed) = lead(&b).await;
    complete(&old, 2, adapter(20.0)).await.unwrap_err();
    old_deposed.cancelled().await;
    // Not even at another try.
    complete(&old, 2, adapter(20.0)).await.unwrap_err();
    complete(&new, 2, adapter(2.0)).await.unwrap();
    assert!(!new_deposed.is_cancelled());
    for cluster in [&a, &b] {
        let found = cluster.find(ROOM).await.unwrap().unwrap();
        assert_eq!(*found.global, adapter(2.0));
        assert!(found.owner.matches("owner"));
    }
    assert!(a.find("ZZZZZZ").await.unwrap().is_none());
    assert!(a.find("not > a code").await.unwrap().is_none());
}

#[tokio::test]
async fn room_is_read_as_it_was_written() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let (a, b) = two_with_a_room(&nats).await;
    let (keeper, deposed) = lead(&a).await;
    for id in 1..=3 {
        keeper.note(Change::Member(member(id, "new"))).await;
    }
    let optimizer = OptimizerState {
        momentum: adapter(0.5),
        variance: adapter(0.25),
    };
    for round in 1..=7 {
        let made = adapter(round as f32);
        let record = record(round, &made);
        let stored = keeper.complete(ROOM, record, made.into(), optimizer.clone().into());
        stored.await.unwrap();
        keeper.prune((round.max(2) - 1..=round).collect()).await;
    }
    keeper.note(Change::Member(member(2, "again"))).await;
    keeper.note(Change::Forget(ClientId(3))).await;
    keeper.note(Change::Activity(Activity::Paused)).await;
    let read = async || {
        let state = b.load(ROOM).await.unwrap().state;
        (state.activity == Activity::Paused && state.members.len() == 2).then_some(state)
    };
    // Noted changes are durable a moment later.
    sleep(Duration::from_millis(500)).await;
    let state = read().await.unwrap();
    assert!(!deposed.is_cancelled());
    assert_eq!(state.members, [member(1, "new"), member(2, "again")]);
    assert_eq!((state.completed, *state.global == adapter(7.0)), (7, true));
    assert_eq!(*state.optimizer, optimizer);
    let rounds: Vec<u32> = state.history.iter().map(|record| record.round).collect();
    assert_eq!(rounds, (1..=7).collect::<Vec<_>>());
    assert!(b.adapter(ROOM, 6, adapter(6.0).hash()).await.is_ok());
    assert!(b.adapter(ROOM, 5, adapter(5.0).hash()).await.is_err());
    // A member whose key was deleted can have it again.
    let (keeper, deposed) = lead(&b).await;
    keeper.note(Change::Member(member(3, "back"))).await;
    complete(&keeper, 8, adapter(8.0)).await.unwrap();
    sleep(Duration::from_millis(500)).await;
    assert!(!deposed.is_cancelled());
    assert_eq!(a.load(ROOM).await.unwrap().state.members.len(), 3);
}

#[tokio::test]
async fn one_process_has_the_lease() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let (a, b) = (cluster(&nats).await, cluster(&nats).await);
    let Ok(Taken::Mine(lease)) = take(&a, ROOM).await else {
        panic!("nobody has it");
    };
    let holder = lease.holder;
    assert!(matches!(take(&b, ROOM).await, Ok(Taken::Theirs(known)) if known == holder));
    let (end, lost) = (CancellationToken::new(), CancellationToken::new());
    let kept = tokio::spawn(lease.keep(end.clone(), lost.clone()));
    // Longer than one that nobody renews.
    sleep(TERM + TERM / 4).await;
    assert!(matches!(take(&b, ROOM).await, Ok(Taken::Theirs(known)) if known == holder));
    end.cancel();
    kept.await.unwrap();
    assert!(!lost.is_cancelled());
    let Ok(Taken::Mine(lease)) = take(&b, ROOM).await else {
        panic!("it was given back");
    };
    // Whoever does not renew it loses it to somebody else, and notices.
    sleep(TERM + TERM / 4).await;
    assert!(matches!(take(&a, ROOM).await, Ok(Taken::Mine(_))));
    lease.keep(CancellationToken::new(), lost.clone()).await;
    assert!(lost.is_cancelled());
}
