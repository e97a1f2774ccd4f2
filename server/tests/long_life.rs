//! A room in NATS that has lived for some time: guests have come and left, rounds were given up, and
//! its leader is killed.

use std::time::{Duration, Instant};

use fl_core::protocol::ClientMessage;
use serde_json::Value;
use tokio::time::sleep;

use crate::support::{Client, Event, Process, TestNats, settings};

const TURNS: usize = 3;
const GUESTS: usize = 8;

/// Keys and markers in NATS's buckets of rooms, and messages of adapters.
async fn stored(nats: &TestNats) -> (u64, u64) {
    let client = async_nats::connect(nats.url()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let mut counts = [0; 2];
    for (stream, count) in ["KV_lpfl-rooms", "OBJ_lpfl-adapters"]
        .iter()
        .zip(&mut counts)
    {
        let stream = jetstream.get_stream(*stream).await.unwrap();
        *count = stream.get_info().await.unwrap().state.messages;
    }
    counts.into()
}

/// Waits until so much is stored, and no more.
async fn settles_at(nats: &TestNats, expected: (u64, u64)) {
    let begun = Instant::now();
    while stored(nats).await != expected {
        let got = stored(nats).await;
        assert!(begun.elapsed().as_secs() < 20, "{got:?}, not {expected:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn history(process: &Process, room: &str) -> Value {
    let inspection = process.get(&format!("/api/rooms/{room}")).await.json();
    inspection["history"].clone()
}

async fn decline(client: &mut Client) {
    let round = client.work().await.round;
    let reason = "not now".into();
    client.say(&ClientMessage::Declined { round, reason }).await;
}

#[tokio::test]
async fn killed_leader_of_a_long_life_leaves_what_the_next_one_needs_and_no_more() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let [a, b] = [(); 2].map(|()| Process::start(&nats));
    let (room, _) = a.open_room(&settings(2)).await;
    let mut ada = a.join(&room, "Ada").await;
    let mut ben = b.join(&room, "Ben").await;
    for client in [&mut ada, &mut ben] {
        client.ready().await;
    }
    for _ in 0..TURNS {
        for process in [&a, &b].iter().cycle().take(GUESTS) {
            let mut guest = process.join(&room, "Guest").await;
            guest.say(&ClientMessage::Leave).await;
            while !matches!(guest.next().await, Event::Closed) {}
        }
        for client in [&mut ada, &mut ben] {
            decline(client).await;
        }
        for client in [&mut ada, &mut ben] {
            client.do_round(1.0).await;
        }
        for client in [&mut ada, &mut ben] {
            while client.round_end().await.participants.is_empty() {}
        }
    }
    // Two rows a round, two members, the head, and the note on the last adapter; four adapters.
    let keys = 2 * TURNS as u64 + 2 + 2;
    settles_at(&nats, (keys, 2 * 4)).await;
    let before = history(&b, &room).await;
    assert_eq!(before.as_array().unwrap().len(), 2 * TURNS);

    let welcomes = [&ada, &ben].map(|client| client.welcome.clone().unwrap());
    let hash = ada.hash;
    a.kill();
    for client in [&mut ada, &mut ben] {
        while !matches!(client.next().await, Event::Closed) {}
    }
    let mut ada = b.rejoin(&room, "Ada", &welcomes[0].resume).await;
    let mut ben = b.rejoin(&room, "Ben", &welcomes[1].resume).await;
    for (client, before) in [&ada, &ben].iter().zip(&welcomes) {
        let welcome = client.welcome.as_ref().unwrap();
        assert_eq!(
            (welcome.client, welcome.shard),
            (before.client, before.shard)
        );
        assert_eq!((client.round, client.hash), (TURNS as u32, hash));
    }
    assert_eq!(history(&b, &room).await, before);
    for client in [&mut ada, &mut ben] {
        client.ready().await;
    }
    for client in [&mut ada, &mut ben] {
        client.do_round(1.0).await;
    }
    assert_eq!(ada.round_end().await, ben.round_end().await);
    settles_at(&nats, (keys + 1, 2 * 5)).await;
}
