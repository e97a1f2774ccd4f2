//! What a room leaves in NATS: everything that a leader reads back, and nothing else.

use std::time::Instant;

use fl_core::room::HISTORY_KEPT;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Messages in the streams of keys and of adapters; a key is one, a small object two.
async fn messages(cluster: &Cluster) -> (usize, usize) {
    let keys = cluster.0.rooms.stream.get_info().await.unwrap();
    let objects = cluster.0.adapters_stream.get_info().await.unwrap();
    let count = |messages: u64| usize::try_from(messages).unwrap();
    (count(keys.state.messages), count(objects.state.messages))
}

/// Waits until there are so many, which noted changes need a moment for.
async fn settles_at(cluster: &Cluster, expected: (usize, usize)) {
    let begun = Instant::now();
    while messages(cluster).await != expected {
        let got = messages(cluster).await;
        assert!(begun.elapsed().as_secs() < 20, "{got:?}, not {expected:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn abandoned(round: u32, attempt: u32, reason: &str) -> RoundRecord {
    let reason = reason.to_owned();
    RoundRecord {
        attempt,
        outcome: RoundOutcome::Abandoned { reason },
        ..record(round, &Adapter::default())
    }
}

#[tokio::test]
async fn long_life_leaves_as_many_keys_as_a_leader_reads_back() {
    const ROUNDS: u32 = 30;
    const ATTEMPTS: u32 = 80;
    const GUESTS: u32 = 10;
    let Some(nats) = TestNats::start() else {
        return;
    };
    let (a, b) = two_with_a_room(&nats).await;
    let (keeper, deposed) = lead(&a).await;
    let optimizer = OptimizerState {
        momentum: adapter(0.5),
        variance: adapter(0.25),
    };
    let mut history = Vec::new();
    for round in 1..=ROUNDS {
        for attempt in 1..ATTEMPTS {
            let record = abandoned(round, attempt, "no update came in");
            history.push(record.clone());
            keeper.note(Change::Round(record.into())).await;
        }
        for id in (round - 1) * GUESTS + 1..=round * GUESTS {
            keeper.note(Change::Member(member(id, "guest"))).await;
            if id > GUESTS {
                keeper.note(Change::Forget(ClientId(id - GUESTS))).await;
            }
        }
        let made = adapter(round as f32);
        let mut record = record(round, &made);
        record.attempt = ATTEMPTS;
        history.push(record.clone());
        let stored = keeper.complete(ROOM, record, made.into(), optimizer.clone().into());
        stored.await.unwrap();
        keeper.prune((round.max(5) - 4..=round).collect()).await;
    }
    assert!(history.len() > HISTORY_KEPT);
    // Beside rounds and members the head, and the note on the last adapter.
    let keys = HISTORY_KEPT + GUESTS as usize + 2;
    // Five adapters, each with its optimizer's state.
    settles_at(&b, (keys, 5 * 2 * 2)).await;
    assert!(!deposed.is_cancelled());

    let state = b.load(ROOM).await.unwrap().state;
    assert_eq!(state.history[..], history[history.len() - HISTORY_KEPT..]);
    assert_eq!(state.completed, ROUNDS);
    assert_eq!(*state.global, adapter(ROUNDS as f32));
    assert_eq!(*state.optimizer, optimizer);
    let ids: Vec<u32> = state.members.iter().map(|member| member.id.0).collect();
    let last = (ROUNDS - 1) * GUESTS + 1..=ROUNDS * GUESTS;
    assert_eq!(ids, last.collect::<Vec<_>>());
    for round in ROUNDS - 4..=ROUNDS {
        let hash = adapter(round as f32).hash();
        b.adapter(ROOM, round, hash).await.unwrap();
    }
    // The one that has been replaced removes nothing any more.
    let late = abandoned(ROUNDS + 1, 1, "no update came in");
    keeper.note(Change::Round(late.into())).await;
    keeper.note(Change::Activity(Activity::Paused)).await;
    deposed.cancelled().await;
    let (keeper, deposed) = lead(&b).await;
    complete(&keeper, ROUNDS + 1, adapter(0.5)).await.unwrap();
    settles_at(&a, (keys, 6 * 2 * 2 - 2)).await;
    assert!(!deposed.is_cancelled());
}

#[tokio::test]
async fn what_was_written_meanwhile_is_not_removed() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let cluster = cluster(&nats).await;
    let (rooms, key) = (&cluster.0.rooms, "ABCDEF.member.1");
    let first = rooms.create(key, "first".into()).await.unwrap();
    let second = rooms.update(key, "second".into(), first).await.unwrap();
    assert!(!cluster.remove_key(key, first).await.unwrap());
    assert_eq!(rooms.get(key).await.unwrap().unwrap(), "second");
    assert!(cluster.remove_key(key, second).await.unwrap());
    assert!(!cluster.remove_key(key, second).await.unwrap());
    // Not even a marker, so it is as if it had never been.
    assert_eq!(messages(&cluster).await, (0, 0));
    rooms.update(key, "third".into(), 0).await.unwrap();

    let (made, hash) = (adapter(1.0), adapter(1.0).hash());
    let [_, name] = state::object_names(ROOM, 1, hash);
    let (mut versions, none) = (Vec::new(), OptimizerState::default());
    for _ in 0..2 {
        cluster.put_adapter(ROOM, 1, &made, &none).await.unwrap();
        versions.push(cluster.version(&name).await.unwrap().unwrap());
    }
    cluster.remove(&versions[0]).await.unwrap();
    assert_eq!(cluster.adapter(ROOM, 1, hash).await.unwrap(), made);
    cluster.remove(&versions[1]).await.unwrap();
    assert!(cluster.version(&name).await.unwrap().is_none());
    assert_eq!(messages(&cluster).await, (1, 0));
}

#[tokio::test]
async fn replaced_leader_forgets_nobody_whom_the_new_one_knows() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let (a, b) = two_with_a_room(&nats).await;
    let (old, old_deposed) = lead(&a).await;
    old.note(Change::Member(member(1, "new"))).await;
    // The room's first adapter; the member and the head.
    settles_at(&a, (2, 2)).await;
    let (new, _deposed) = lead(&b).await;
    new.note(Change::Member(member(1, "again"))).await;
    let is_written = async || {
        let found = b.0.rooms.get("ABCDEF.member.1").await.unwrap().unwrap();
        String::from_utf8_lossy(&found).contains("again")
    };
    let begun = tokio::time::Instant::now();
    while !is_written().await {
        assert!(begun.elapsed().as_secs() < 30, "the member was not written");
    }
    old.note(Change::Forget(ClientId(1))).await;
    old_deposed.cancelled().await;
    let state = b.load(ROOM).await.unwrap().state;
    assert_eq!(state.members, [member(1, "again")]);
}

#[tokio::test]
async fn adapter_that_no_head_names_is_removed_by_the_next_leader() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let (a, b) = two_with_a_room(&nats).await;
    let (keeper, _deposed) = lead(&a).await;
    complete(&keeper, 1, adapter(1.0)).await.unwrap();
    settles_at(&a, (3, 4)).await;
    // As far as a leader gets that is killed before it writes the head.
    let (made, optimizer) = (adapter(2.0), OptimizerState::default());
    let hash = made.hash();
    a.note_unfinished(ROOM, 2, hash).await.unwrap();
    a.put_adapter(ROOM, 2, &made, &optimizer).await.unwrap();
    assert_eq!(messages(&a).await, (3, 6));
    let (keeper, _deposed) = lead(&b).await;
    assert_eq!(messages(&b).await, (3, 4));
    // The round, tried again, comes to the same.
    complete(&keeper, 2, made).await.unwrap();
    let state = a.load(ROOM).await.unwrap().state;
    assert_eq!((state.completed, *state.global == adapter(2.0)), (2, true));
    assert_eq!(messages(&a).await, (4, 6));
}

#[tokio::test]
async fn record_that_only_the_head_has_outlives_the_next_round() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let (a, b) = two_with_a_room(&nats).await;
    let (keeper, _deposed) = lead(&a).await;
    complete(&keeper, 1, adapter(1.0)).await.unwrap();
    // As far as a leader gets that is killed right after it has written the head.
    let key = state::round_key(ROOM, (1, 1));
    let entry = a.0.rooms.entry(&key).await.unwrap().unwrap();
    assert!(a.remove_key(&key, entry.revision).await.unwrap());
    let (keeper, _deposed) = lead(&b).await;
    complete(&keeper, 2, adapter(2.0)).await.unwrap();
    let history = a.load(ROOM).await.unwrap().state.history;
    let rounds: Vec<u32> = history.iter().map(|record| record.round).collect();
    assert_eq!(rounds, [1, 2]);
}

/// A way to NATS on which so many bytes a second come back; its address.
async fn slow_way(nats: &TestNats, rate: u32) -> String {
    let behind = nats.url().replace("nats://", "");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let far = TcpStream::connect(&behind).await.unwrap();
            let (mut from_near, mut to_near) = near.into_split();
            let (mut from_far, mut to_far) = far.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_near, &mut to_far).await });
            tokio::spawn(async move {
                let mut piece = [0; 4096];
                while let Ok(length @ 1..) = from_far.read(&mut piece).await {
                    sleep(Duration::from_secs(1) * length as u32 / rate).await;
                    if to_near.write_all(&piece[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("nats://{address}")
}

#[tokio::test]
async fn room_is_read_however_long_that_takes() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let (a, _) = two_with_a_room(&nats).await;
    let (keeper, _deposed) = lead(&a).await;
    let reason = "r".repeat(600);
    for attempt in 2..=1000 {
        let record = abandoned(1, attempt, &reason);
        keeper.note(Change::Round(record.into())).await;
    }
    complete(&keeper, 1, adapter(1.0)).await.unwrap();
    let (url, credentials) = (slow_way(&nats, 120_000).await, None);
    let slow = Cluster::connect(&Nats { url, credentials }).await.unwrap();
    let begun = Instant::now();
    let state = slow.load(ROOM).await.unwrap().state;
    assert_eq!((state.completed, state.history.len()), (1, 1000));
    assert!(begun.elapsed() > PATIENCE, "{:?}", begun.elapsed());
}
