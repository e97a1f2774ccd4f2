//! Several processes on one NATS: what they make together, and what it costs when one of them, or
//! NATS, is gone.

use std::time::{Duration, Instant};

use fl_core::adapter::Adapter;
use fl_core::protocol::{ClientId, RoundOutcome, RoundRecord};
use fl_core::settings::Rule;
use server::{Nats, ServerError, serve};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::support::{
    Client, Event, Process, TestNats, TestServer, be_a_process, config, limits, settings,
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "not a test: the processes of the others"]
async fn a_process() {
    be_a_process().await;
}

fn furthest(one: &Adapter, other: &Adapter) -> f32 {
    assert_eq!(one.layout(), other.layout());
    let values = |adapter: &Adapter| {
        let matrices = adapter.matrices.values();
        let values: Vec<f32> = matrices.flat_map(|matrix| matrix.values.clone()).collect();
        values
    };
    let (one, other) = (values(one), values(other));
    let apart = one.iter().zip(&other).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, f32::max)
}

fn id(client: &Client) -> ClientId {
    client.welcome.as_ref().unwrap().client
}

fn token(client: &Client) -> String {
    client.welcome.as_ref().unwrap().resume.clone()
}

/// The rounds that are complete: each once, in order.
async fn completed(process: &Process, room: &str) -> Vec<RoundRecord> {
    let inspection = process.get(&format!("/api/rooms/{room}")).await.json();
    let history: Vec<RoundRecord> = serde_json::from_value(inspection["history"].clone()).unwrap();
    let is_complete =
        |record: &RoundRecord| matches!(record.outcome, RoundOutcome::Completed { .. });
    let complete: Vec<RoundRecord> = history.into_iter().filter(is_complete).collect();
    let rounds: Vec<u32> = complete.iter().map(|record| record.round).collect();
    let expected: Vec<u32> = (1..=complete.len() as u32).collect();
    assert_eq!(rounds, expected);
    complete
}

/// Reads until the server closes.
async fn closed(client: &mut Client) {
    while !matches!(client.next().await, Event::Closed) {}
}

const STEPS: [f32; 3] = [0.25, 0.5, 1.5];

/// Three clients play a round; all end on one adapter.
async fn play(clients: &mut [Client; 3]) -> RoundRecord {
    for (client, step) in clients.iter_mut().zip(STEPS) {
        client.do_round(step).await;
    }
    let mut records = Vec::new();
    for client in clients.iter_mut() {
        records.push(client.round_end().await);
    }
    assert!(records.windows(2).all(|two| two[0] == two[1]));
    assert!(clients.windows(2).all(|two| two[0].hash == two[1].hash));
    records.remove(0)
}

#[tokio::test]
async fn processes_make_what_one_makes() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let processes = [(); 3].map(|()| Process::start(&nats));
    let alone = TestServer::start().await;
    for rule in [Rule::FedAvg, Rule::Median, Rule::HetLora] {
        let mut wanted = settings(3);
        wanted.aggregation.rule = rule;
        let (room, _) = processes[0].open_room(&wanted).await;
        let mut clients = [
            processes[0].join(&room, "Ada").await,
            processes[1].join(&room, "Ben").await,
            processes[2].join(&room, "Cyd").await,
        ];
        let (other, _) = alone.open_room(&wanted).await;
        let mut same = [
            alone.join(&other, "Ada").await,
            alone.join(&other, "Ben").await,
            alone.join(&other, "Cyd").await,
        ];
        for client in clients.iter_mut().chain(&mut same) {
            client.ready().await;
        }
        for round in 1..=3 {
            let (record, expected) = (play(&mut clients).await, play(&mut same).await);
            assert_eq!((record.round, record.participants.len()), (round, 3));
            assert_eq!(record.participants, expected.participants);
            assert_eq!((record.gold, record.soft), (expected.gold, expected.soft));
            let apart = furthest(&clients[0].global, &same[0].global);
            assert!(apart < 1e-6, "{rule:?}: {apart}");
        }
        for process in &processes {
            assert_eq!(completed(process, &room).await.len(), 3);
            let path = format!("/api/rooms/{room}/adapter/adapter_model.safetensors");
            let adapter = process.get(&path).await;
            let adapter = fl_core::codec::decode_adapter(&adapter.body).unwrap();
            assert_eq!(Some(adapter.hash()), clients[0].hash);
        }
    }
}

#[tokio::test]
async fn sums_that_no_message_holds_come_together_too() {
    let most = 200_000;
    let Some(nats) = TestNats::start_taking(most) else {
        return;
    };
    let processes = [(); 3].map(|()| Process::start(&nats));
    let mut wanted = settings(3);
    wanted.aggregation.rule = Rule::HetLora;
    wanted.lora.rank = 32;
    let (room, _) = processes[0].open_room(&wanted).await;
    let mut clients = [
        processes[0].join(&room, "Ada").await,
        processes[1].join(&room, "Ben").await,
        processes[2].join(&room, "Cyd").await,
    ];
    // Two sums in f64, against half of the longest message.
    assert!(clients[0].global.layout().parameters() * 16 > most / 2);
    for client in &mut clients {
        client.ready().await;
    }
    for _ in 0..2 {
        assert_eq!(play(&mut clients).await.participants.len(), 3);
    }
}

#[tokio::test]
async fn owner_and_bad_updates_are_answered_by_any_process() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let processes = [(); 2].map(|()| Process::start(&nats));
    let (room, owner) = processes[0].open_room(&settings(2)).await;
    let mut ada = processes[0].join(&room, "Ada").await;
    let mut ben = processes[1].join(&room.to_lowercase(), "Ben").await;
    assert_ne!(id(&ada), id(&ben));
    ada.ready().await;
    ben.ready().await;
    let order = ben.work().await;
    // Matrices that are none, then a good update, then the same once more.
    ben.report(&order, &Adapter::default()).await;
    let code =
        |fault: Option<fl_core::error::Fault>| fault.map(|fault| format!("{:?}", fault.code));
    assert_eq!(
        code(ben.receipt().await.fault).as_deref(),
        Some("Misshapen")
    );
    let update = ben.moved(1.0);
    ben.report(&order, &update).await;
    assert_eq!(ben.receipt().await.fault, None);
    ben.report(&order, &update).await;
    let twice = ben.receipt().await.fault;
    assert_eq!(code(twice).as_deref(), Some("DuplicateReport"));
    ada.do_round(1.0).await;
    assert_eq!(ben.round_end().await.participants.len(), 2);
    ada.round_end().await;
    let bearer = format!("Bearer {owner}");
    let wish = async |process: &Process, wish: &str, bearer: &str| {
        let path = format!("/api/rooms/{room}/{wish}");
        let bearer = [("authorization", bearer)];
        process.request("POST", &path, &bearer, "").await
    };
    let refused = wish(&processes[1], "finish", "Bearer wrong").await;
    assert_eq!(refused.fault(), "not_owner");
    let finish = wish(&processes[1], "finish", &bearer).await;
    assert_eq!(finish.status, 204);
    let again = wish(&processes[0], "start", &bearer).await;
    assert_eq!(again.fault(), "room_finished");
    let unknown = processes[1].get("/api/rooms/ZZZZZZ").await;
    assert_eq!(unknown.fault(), "unknown_room");
}

#[tokio::test]
async fn client_keeps_its_place_at_another_process() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let processes = [(); 2].map(|()| Process::start(&nats));
    let (room, _) = processes[0].open_room(&settings(2)).await;
    let mut ada = processes[0].join(&room, "Ada").await;
    let mut ben = processes[1].join(&room, "Ben").await;
    ada.ready().await;
    ben.ready().await;
    let order = ben.work().await;
    let welcome = ben.welcome.clone().unwrap();
    drop(ben);
    let mut ben = processes[0].rejoin(&room, "Ben", &welcome.resume).await;
    let again = ben.welcome.clone().unwrap();
    assert_eq!((again.client, again.shard), (welcome.client, welcome.shard));
    let resumed = ben.work_again().await;
    assert_eq!((resumed.round, resumed.base), (order.round, order.base));
    let adapter = ben.moved(1.0);
    ben.report(&resumed, &adapter).await;
    ada.do_round(1.0).await;
    assert_eq!(ada.round_end().await.participants.len(), 2);
}

#[tokio::test]
async fn killed_follower_costs_its_clients_one_round() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let [a, b, c] = [(); 3].map(|()| Process::start(&nats));
    let (room, _) = a.open_room(&settings(3)).await;
    let mut ada = a.join(&room, "Ada").await;
    let mut ben = b.join(&room, "Ben").await;
    let mut cyd = c.join(&room, "Cyd").await;
    for client in [&mut ada, &mut ben, &mut cyd] {
        client.ready().await;
    }
    ben.do_round(100.0).await;
    b.kill();
    let before = ada.global.clone();
    ada.do_round(1.0).await;
    cyd.do_round(2.0).await;
    let record = ada.round_end().await;
    assert_eq!(record.participants, [id(&ada), id(&cyd)]);
    assert_eq!(record.excluded.len(), 1);
    assert_eq!(record.excluded[0].client, id(&ben));
    assert_eq!(cyd.round_end().await, record);
    // Ben's update is in no sum.
    for (name, matrix) in &ada.global.matrices {
        let values = matrix.values.iter().zip(&before.matrices[name].values);
        assert!(
            values
                .into_iter()
                .all(|(new, old)| (new - old - 1.5).abs() < 1e-4)
        );
    }
    let mut ben = c.rejoin(&room, "Ben", &token(&ben)).await;
    ben.ready().await;
    let mut clients = [ada, ben, cyd];
    assert_eq!(play(&mut clients).await.participants.len(), 3);
    completed(&c, &room).await;
}

#[tokio::test]
async fn killed_leader_costs_the_round_in_progress() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let [a, b, c] = [(); 3].map(|()| Process::start(&nats));
    let (room, _) = a.open_room(&settings(3)).await;
    let mut clients = [
        a.join(&room, "Ada").await,
        b.join(&room, "Ben").await,
        c.join(&room, "Cyd").await,
    ];
    for client in &mut clients {
        client.ready().await;
    }
    play(&mut clients).await;
    let hash = clients[0].hash;
    clients[1].do_round(50.0).await;
    a.kill();
    let names = ["Ada", "Ben", "Cyd"];
    let tokens = [0, 1, 2].map(|index| token(&clients[index]));
    let ids = [0, 1, 2].map(|index| id(&clients[index]));
    for client in &mut clients {
        closed(client).await;
    }
    // Ada comes to where Ben is.
    let mut clients = [
        b.rejoin(&room, names[0], &tokens[0]).await,
        b.rejoin(&room, names[1], &tokens[1]).await,
        c.rejoin(&room, names[2], &tokens[2]).await,
    ];
    for (client, expected) in clients.iter_mut().zip(ids) {
        assert_eq!((client.round, client.hash), (1, hash));
        assert_eq!(id(client), expected);
        client.ready().await;
    }
    let record = play(&mut clients).await;
    assert_eq!((record.round, record.participants.len()), (2, 3));
    play(&mut clients).await;
    for process in [&b, &c] {
        assert_eq!(completed(process, &room).await.len(), 3);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn leader_that_ends_in_order_is_followed_at_once() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let [a, b] = [(); 2].map(|()| Process::start(&nats));
    let (room, _) = a.open_room(&settings(2)).await;
    let mut ada = a.join(&room, "Ada").await;
    let mut ben = b.join(&room, "Ben").await;
    ada.ready().await;
    ben.ready().await;
    ada.do_round(1.0).await;
    ben.do_round(1.0).await;
    ada.round_end().await;
    ben.round_end().await;
    a.signal("TERM");
    let asked = Instant::now();
    closed(&mut ada).await;
    closed(&mut ben).await;
    let mut ada = b.rejoin(&room, "Ada", &token(&ada)).await;
    let mut ben = b.rejoin(&room, "Ben", &token(&ben)).await;
    // Sooner than a lease that nobody renews is forgotten.
    assert!(asked.elapsed() < Duration::from_millis(2_500));
    assert_eq!((ada.round, ada.hash), (1, ben.hash));
    ada.ready().await;
    ben.ready().await;
    ada.do_round(1.0).await;
    ben.do_round(1.0).await;
    assert_eq!(ada.round_end().await, ben.round_end().await);
    assert_eq!(completed(&b, &room).await.len(), 2);
}

#[tokio::test]
async fn restarted_nats_costs_the_round_in_progress() {
    let Some(mut nats) = TestNats::start() else {
        return;
    };
    let [a, b] = [(); 2].map(|()| Process::start(&nats));
    let mut wanted = settings(2);
    wanted.round.grace_seconds = 2;
    let (room, _) = a.open_room(&wanted).await;
    let mut ada = a.join(&room, "Ada").await;
    let mut ben = b.join(&room, "Ben").await;
    ada.ready().await;
    ben.ready().await;
    ada.do_round(1.0).await;
    ben.do_round(2.0).await;
    ada.round_end().await;
    ben.round_end().await;
    let hash = ada.hash;
    nats.kill();
    sleep(Duration::from_secs(1)).await;
    let ready = a.get("/readyz").await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    // Long enough for the lease to be lost.
    closed(&mut ada).await;
    closed(&mut ben).await;
    nats.start_again();
    let mut ada = a.rejoin(&room, "Ada", &token(&ada)).await;
    let mut ben = b.rejoin(&room, "Ben", &token(&ben)).await;
    assert_eq!(a.get("/readyz").await.status, 200);
    assert_eq!((ada.round, ada.hash, ben.hash), (1, hash, hash));
    ada.ready().await;
    ben.ready().await;
    ada.do_round(1.0).await;
    ben.do_round(2.0).await;
    assert_eq!(ada.round_end().await, ben.round_end().await);
    assert_eq!(completed(&b, &room).await.len(), 2);
}

#[cfg(unix)]
#[tokio::test]
async fn deposed_leader_stores_nothing() {
    let Some(nats) = TestNats::start() else {
        return;
    };
    let [a, b] = [(); 2].map(|()| Process::start(&nats));
    let mut wanted = settings(2);
    wanted.round.deadline_seconds = 5;
    let (room, _) = a.open_room(&wanted).await;
    let mut ada = a.join(&room, "Ada").await;
    let mut ben = b.join(&room, "Ben").await;
    ada.ready().await;
    ben.ready().await;
    // Ada's update is at the leader, and would make the round when its deadline has passed.
    ada.do_round(100.0).await;
    ben.work().await;
    a.signal("STOP");
    closed(&mut ben).await;
    let mut ben = b.rejoin(&room, "Ben", &token(&ben)).await;
    let mut new = b.rejoin(&room, "Ada", &token(&ada)).await;
    assert_eq!(ben.round, 0);
    ben.ready().await;
    new.ready().await;
    new.do_round(1.0).await;
    ben.do_round(1.0).await;
    let record = ben.round_end().await;
    let hash = ben.hash;
    a.signal("CONT");
    // It is told, and its client is.
    closed(&mut ada).await;
    sleep(Duration::from_secs(1)).await;
    let by_process = [completed(&a, &room).await, completed(&b, &room).await];
    for complete in &by_process {
        assert_eq!(complete[0], record, "{}", a.log());
    }
    assert_eq!(ben.hash, hash);
    let ada = a.rejoin(&room, "Ada", &token(&new)).await;
    assert_eq!(ada.hash, hash, "{}", a.log());
}

#[tokio::test]
async fn nats_that_is_not_there_is_named_without_its_secrets() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let folder = tempfile::tempdir().unwrap();
    crate::support::write_tiny_model(&folder.path().join("tiny"));
    let mut config = config(folder.path(), limits());
    config.nats = Some(Nats {
        url: format!("nats://ada:s3cret@127.0.0.1:{port}"),
        credentials: None,
    });
    let start = |config| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = serve(listener, std::future::pending(), config).await;
        error.unwrap_err()
    };
    let error = start(config.clone()).await.to_string();
    let names = [format!("127.0.0.1:{port}"), "--nats".into()];
    assert!(names.iter().all(|name| error.contains(name)), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    config.record = true;
    let error = start(config).await;
    assert!(matches!(error, ServerError::RecordedInNats), "{error}");
}
