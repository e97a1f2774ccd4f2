//! Many rooms at once: none hears of another, and one that is flooded holds up none.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::protocol::{ClientId, PROTOCOL_VERSION, RoundOutcome, ServerMessage};
use tokio::task::JoinSet;

use crate::support::{Client, Event, TestServer, settings};

const ROOMS: u32 = 24;
const ROUNDS: u32 = 4;
/// Connections at once that flood a room of their own.
const FLOODERS: u32 = 4;

/// What two clients of a room have seen.
struct Seen {
    number: u32,
    code: String,
    hashes: BTreeSet<AdapterHash>,
    heard: Vec<ServerMessage>,
}

fn value(adapter: &Adapter) -> f32 {
    adapter.matrices.values().next().unwrap().values[0]
}

/// Two clients of a room play every round; each room moves its adapter by a step of its own.
async fn play(address: SocketAddr, code: String, number: u32) -> Seen {
    let join = |name: &str| {
        let (code, name) = (code.clone(), format!("{number} {name}"));
        async move { Client::join(address, &code, &name, None).await }
    };
    let (mut ada, mut ben) = (join("Ada").await, join("Ben").await);
    let (begin, step) = (value(&ada.global), (number + 1) as f32 / 64.0);
    let mut hashes = BTreeSet::from([ada.hash.unwrap()]);
    ada.ready().await;
    ben.ready().await;
    for round in 1..=ROUNDS {
        ada.do_round(step).await;
        ben.do_round(step).await;
        let (record, same) = (ada.round_end().await, ben.round_end().await);
        assert_eq!((&record, record.round), (&same, round));
        assert_eq!(ada.hash, ben.hash);
        hashes.extend(ada.hash);
        let moved = value(&ada.global) - begin;
        assert!(
            (moved - round as f32 * step).abs() < 1e-4,
            "room {number}: {moved}"
        );
    }
    let heard = [ada.heard, ben.heard].concat();
    Seen {
        number,
        code,
        hashes,
        heard,
    }
}

/// Floods a room again and again; gives back never.
async fn flood(address: SocketAddr, code: String, number: u32) {
    loop {
        let mut flooder = Client::connect(address).await;
        let name = format!("Flooder {number}");
        flooder.hello(PROTOCOL_VERSION, &code, &name, None).await;
        flooder.ready().await;
        for _ in 0..300 {
            // The server may have closed already.
            flooder.try_bytes(vec![7; 64]).await;
        }
        while !matches!(flooder.next().await, Event::Closed) {}
    }
}

impl Seen {
    /// Everything that the clients heard is of their own room.
    fn check(&self) {
        let Self { number, code, .. } = self;
        let own: BTreeSet<ClientId> = [ClientId(1), ClientId(2)].into();
        for message in &self.heard {
            match message {
                ServerMessage::Welcome(welcome) => {
                    assert_eq!((&welcome.room, welcome.settings.seed), (code, *number));
                }
                ServerMessage::Room(view) => {
                    assert_eq!(&view.code, code);
                    let prefix = format!("{number} ");
                    let is_own = |name: &str| name.starts_with(&prefix);
                    assert!(
                        view.members.iter().all(|member| is_own(&member.name)),
                        "{view:?}"
                    );
                }
                ServerMessage::Work(order) => assert!(self.hashes.contains(&order.base)),
                ServerMessage::RoundEnded(record) => {
                    assert!(
                        record
                            .participants
                            .iter()
                            .all(|client| own.contains(client))
                    );
                    let RoundOutcome::Completed { hash } = record.outcome else {
                        panic!("room {number}: {record:?}");
                    };
                    assert!(self.hashes.contains(&hash));
                }
                ServerMessage::Receipt(receipt) => assert_eq!(receipt.fault, None),
                ServerMessage::Cancel { .. } | ServerMessage::Heartbeat => {}
                other => panic!("room {number} heard {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_do_not_hear_each_other_and_a_flooded_one_holds_up_none() {
    let server = TestServer::start().await;
    let open = |seed| {
        let mut settings = settings(2);
        settings.seed = seed;
        let server = &server;
        async move { server.open_room(&settings).await.0 }
    };
    let flooded = open(1000).await;
    let mut flooders = JoinSet::new();
    for number in 0..FLOODERS {
        flooders.spawn(flood(server.address, flooded.clone(), number));
    }
    let mut rooms = JoinSet::new();
    for number in 0..ROOMS {
        let code = open(number).await;
        rooms.spawn(play(server.address, code, number));
    }
    // Every round of every room, while the flood goes on.
    let seen = rooms.join_all().await;
    assert!(flooders.try_join_next().is_none(), "a flooder gave up");
    flooders.shutdown().await;
    let mut hashes: BTreeSet<AdapterHash> = BTreeSet::new();
    for room in &seen {
        room.check();
        assert_eq!(room.hashes.len(), ROUNDS as usize + 1);
        hashes.extend(&room.hashes);
    }
    // No adapter of one room is another's.
    assert_eq!(hashes.len(), (ROOMS * (ROUNDS + 1)) as usize);
    let metrics = server.get("/metrics").await.text();
    let cut = |line: &&str| line.starts_with("lpfl_refused_connections_total{");
    let lines: Vec<&str> = metrics.lines().filter(cut).collect();
    assert!(!lines.is_empty(), "the flood was cut:\n{metrics}");
}
