//! Recorded rooms: every round comes out the same once more, through restarts too.

use fl_core::settings::{Adaptive, RoomSettings, ServerOptimizer};
use server::recording::{Recording, Replayed, ReplayedRound};

use crate::support::{Client, TestServer, settings};

/// Two clients, and a server optimizer, whose state has to outlive a restart.
fn room() -> RoomSettings {
    let mut settings = settings(2);
    settings.aggregation.server_optimizer = ServerOptimizer::FedAdam(Adaptive::default());
    settings
}

/// Plays rounds with both clients, of which the second answers first.
async fn play(ada: &mut Client, ben: &mut Client, rounds: u32) {
    for _ in 0..rounds {
        ben.do_round(-0.25).await;
        ada.do_round(1.0).await;
        ben.round_end().await;
        ada.round_end().await;
    }
}

async fn recording_server() -> TestServer {
    let mut server = TestServer::start().await;
    server.config.record = true;
    server.restart(|_| {}).await
}

async fn two(server: &TestServer, room: &str, resume: &[String]) -> (Client, Client) {
    let token = |place: usize| resume.get(place).map(String::as_str);
    let mut ada = Client::join(server.address, room, "Ada", token(0)).await;
    let mut ben = Client::join(server.address, room, "Ben", token(1)).await;
    ada.ready().await;
    ben.ready().await;
    (ada, ben)
}

fn replayed(server: &TestServer, room: &str) -> Vec<ReplayedRound> {
    let recording = Recording::open(&server.data()).unwrap();
    assert_eq!(recording.rooms().unwrap(), [room]);
    let mut rounds = Vec::new();
    recording.replay(room, |round| rounds.push(round)).unwrap();
    rounds
}

#[tokio::test]
async fn recorded_rounds_come_out_the_same_through_a_restart() {
    let server = recording_server().await;
    let (code, _) = server.open_room(&room()).await;
    let (mut ada, mut ben) = two(&server, &code, &[]).await;
    assert!(ada.welcome.as_ref().unwrap().recorded);
    play(&mut ada, &mut ben, 2).await;
    // Ben reports in round 3, and the server ends before Ada does: that update is forgotten.
    ben.do_round(5.0).await;
    let resume = [ada, ben].map(|client| client.welcome.unwrap().resume);
    let server = server.restart(|_| {}).await;
    let (mut ada, mut ben) = two(&server, &code, &resume).await;
    play(&mut ada, &mut ben, 2).await;

    let rounds = replayed(&server, &code);
    let numbers: Vec<u32> = rounds.iter().map(|round| round.round).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    for round in &rounds {
        assert_eq!((&round.outcome, round.updates), (&Replayed::Same, 2));
    }
    assert_eq!(Some(rounds[3].hash), ada.hash);
}

#[tokio::test]
async fn rounds_that_were_not_recorded_are_said_to_be() {
    let mut server = TestServer::start().await;
    let (code, _) = server.open_room(&room()).await;
    let (mut ada, mut ben) = two(&server, &code, &[]).await;
    assert!(!ada.welcome.as_ref().unwrap().recorded);
    play(&mut ada, &mut ben, 1).await;
    let resume = [ada, ben].map(|client| client.welcome.unwrap().resume);
    server.config.record = true;
    let server = server.restart(|_| {}).await;
    let (mut ada, mut ben) = two(&server, &code, &resume).await;
    play(&mut ada, &mut ben, 2).await;
    let outcomes: Vec<Replayed> = replayed(&server, &code)
        .into_iter()
        .map(|round| round.outcome)
        .collect();
    let same = Replayed::Same;
    assert_eq!(outcomes, [Replayed::NotRecorded, same.clone(), same]);
}

#[tokio::test]
async fn changed_update_is_found() {
    let server = recording_server().await;
    let (code, _) = server.open_room(&room()).await;
    let (mut ada, mut ben) = two(&server, &code, &[]).await;
    play(&mut ada, &mut ben, 2).await;
    let server = server
        .restart(|data| {
            let database = rusqlite::Connection::open(data.join("lpfl.sqlite")).unwrap();
            let sql = "SELECT id, frame FROM updates WHERE round = 1 LIMIT 1";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let (id, mut frame): (i64, Vec<u8>) = database.query_row(sql, [], row).unwrap();
            *frame.last_mut().unwrap() ^= 1;
            let sql = "UPDATE updates SET frame = ?1 WHERE id = ?2";
            database.execute(sql, (frame, id)).unwrap();
        })
        .await;
    let rounds = replayed(&server, &code);
    assert!(
        matches!(rounds[0].outcome, Replayed::Differs { .. }),
        "{rounds:?}"
    );
    // What follows cannot be computed from there.
    assert_eq!(rounds[1].outcome, Replayed::NoBase);
}

#[tokio::test]
async fn database_of_the_format_before_is_brought_up() {
    let server = TestServer::start().await;
    let (code, _) = server.open_room(&room()).await;
    let mut server = server
        .restart(|data| {
            let database = rusqlite::Connection::open(data.join("lpfl.sqlite")).unwrap();
            let sql = "DROP TABLE updates; DROP TABLE bases; PRAGMA user_version = 1;";
            database.execute_batch(sql).unwrap();
            drop(database);
            let Err(error) = Recording::open(data) else {
                panic!("another format was opened");
            };
            assert!(error.to_string().contains("format 1"), "{error}");
        })
        .await;
    server.config.record = true;
    let server = server.restart(|_| {}).await;
    let (mut ada, mut ben) = two(&server, &code, &[]).await;
    play(&mut ada, &mut ben, 1).await;
    assert_eq!(replayed(&server, &code)[0].outcome, Replayed::Same);
}

#[test]
fn folder_without_a_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let Err(error) = Recording::open(folder.path()) else {
        panic!("an empty folder was opened");
    };
    let error = error.to_string();
    assert!(
        error.contains("lpfl.sqlite") && error.contains("--data-dir"),
        "{error}"
    );
}
