//! Whole rounds with clients that behave.

use fl_core::protocol::{PhaseView, RoundOutcome, ServerMessage};
use fl_core::settings::{RoomSettings, Start};

use crate::support::{Client, TestServer, settings};

#[tokio::test]
async fn two_clients_finish_rounds_on_one_adapter() {
    let server = TestServer::start().await;
    let (room, _) = server.open_room(&settings(2)).await;
    let mut ada = server.join(&room, "Ada").await;
    let mut ben = server.join(&room.to_lowercase(), "Ben").await;
    ada.ready().await;
    ben.ready().await;
    for round in 1..=3 {
        ada.do_round(1.0).await;
        ben.do_round(3.0).await;
        let (record, same) = (ada.round_end().await, ben.round_end().await);
        assert_eq!(record, same);
        assert_eq!((record.round, record.participants.len()), (round, 2));
        assert!(record.excluded.is_empty());
        let RoundOutcome::Completed { hash } = record.outcome else {
            panic!("{record:?}");
        };
        assert_eq!((ada.hash, ben.hash), (Some(hash), Some(hash)));
    }
    let inspection = server.get(&format!("/api/rooms/{room}")).await.json();
    assert_eq!(inspection["view"]["completed"], 3);
    assert_eq!(inspection["history"].as_array().unwrap().len(), 3);
    let adapter = server
        .get(&format!(
            "/api/rooms/{room}/adapter/adapter_model.safetensors"
        ))
        .await;
    let adapter = fl_core::codec::decode_adapter(&adapter.body).unwrap();
    assert_eq!(Some(adapter.hash()), ada.hash);
    server.end().await;
}

#[tokio::test]
async fn adapters_are_evaluated_on_held_out_texts() {
    let server = TestServer::start().await;
    let corpus = RoomSettings {
        texts: RoomSettings::default().texts,
        ..settings(1)
    };
    let (room, _) = server.open_room(&corpus).await;
    let mut ada = server.join(&room, "Ada").await;
    ada.ready().await;
    ada.do_round(0.01).await;
    let mut last = None;
    while last != Some(1) {
        let message = ada
            .until(|m| matches!(m, ServerMessage::Evaluated(_)))
            .await;
        let ServerMessage::Evaluated(evaluated) = message else {
            panic!("{message:?}");
        };
        assert!(evaluated.count >= 300);
        assert!((0.0..=1.0).contains(&evaluated.accuracy));
        last = Some(evaluated.round);
    }
    let inspection = server.get(&format!("/api/rooms/{room}")).await.json();
    assert!(!inspection["evaluations"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn owner_starts_pauses_and_finishes() {
    let server = TestServer::start().await;
    let mut manual = settings(1);
    manual.round.start = Start::Manual;
    let (room, token) = server.open_room(&manual).await;
    let mut ada = server.join(&room, "Ada").await;
    ada.ready().await;
    let bearer = format!("Bearer {token}");
    let owner = [("authorization", bearer.as_str())];
    let command = |name| format!("/api/rooms/{room}/{name}");
    let start = server.request("POST", &command("start"), &owner, "").await;
    assert_eq!(start.status, 204);
    ada.do_round(1.0).await;
    ada.round_end().await;
    let order = ada.work().await;
    server.request("POST", &command("pause"), &owner, "").await;
    let adapter = ada.moved(1.0);
    ada.report(&order, &adapter).await;
    ada.round_end().await;
    let paused =
        |m: &ServerMessage| matches!(m, ServerMessage::Room(v) if v.phase == PhaseView::Paused);
    ada.until(paused).await;
    server.request("POST", &command("finish"), &owner, "").await;
    let finished =
        |m: &ServerMessage| matches!(m, ServerMessage::Room(v) if v.phase == PhaseView::Finished);
    ada.until(finished).await;
    let again = server.request("POST", &command("start"), &owner, "").await;
    assert_eq!(
        (again.status, again.fault().as_str()),
        (409, "room_finished")
    );
}

#[tokio::test]
async fn owner_removes_a_client() {
    let server = TestServer::start().await;
    let (room, token) = server.open_room(&settings(2)).await;
    let mut ada = server.join(&room, "Ada").await;
    let id = ada.welcome.as_ref().unwrap().client.0;
    let bearer = format!("Bearer {token}");
    let path = format!("/api/rooms/{room}/clients/{id}");
    let remove = |headers: Vec<(&'static str, String)>| {
        let path = path.clone();
        let server = &server;
        async move {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            server.request("DELETE", &path, &headers, "").await
        }
    };
    assert_eq!(remove(vec![]).await.fault(), "not_owner");
    let removed = remove(vec![("authorization", bearer.clone())]).await;
    assert_eq!(removed.status, 204);
    assert_eq!(format!("{:?}", ada.refusal().await.code), "Removed");
    let again = remove(vec![("authorization", bearer)]).await;
    assert_eq!(
        (again.status, again.fault().as_str()),
        (404, "unknown_client")
    );
}

#[tokio::test]
async fn reload_takes_the_place_back_mid_round() {
    let server = TestServer::start().await;
    let (room, _) = server.open_room(&settings(2)).await;
    let mut ada = server.join(&room, "Ada").await;
    let mut ben = server.join(&room, "Ben").await;
    ada.ready().await;
    ben.ready().await;
    ada.do_round(1.0).await;
    let order = ben.work().await;
    let welcome = ben.welcome.clone().unwrap();
    drop(ben);
    let mut ben = Client::join(server.address, &room, "Ben", Some(&welcome.resume)).await;
    let again = ben.welcome.clone().unwrap();
    assert_eq!((again.client, again.shard), (welcome.client, welcome.shard));
    ben.ready().await;
    let resumed = ben.work().await;
    assert_eq!((resumed.round, resumed.base), (order.round, order.base));
    let adapter = ben.moved(1.0);
    ben.report(&resumed, &adapter).await;
    let record = ada.round_end().await;
    assert_eq!(record.participants.len(), 2);
}

#[tokio::test]
async fn leaving_mid_round_lets_the_others_go_on() {
    let server = TestServer::start().await;
    let (room, _) = server.open_room(&settings(2)).await;
    let mut ada = server.join(&room, "Ada").await;
    let mut ben = server.join(&room, "Ben").await;
    ada.ready().await;
    ben.ready().await;
    ada.do_round(1.0).await;
    ben.work().await;
    ben.say(&fl_core::protocol::ClientMessage::Leave).await;
    let record = ada.round_end().await;
    assert_eq!(record.participants.len(), 1);
    let reason = &record.excluded.first().unwrap().reason;
    assert!(reason.contains("left"), "{reason}");
}

#[tokio::test]
async fn shutdown_says_farewell() {
    let server = TestServer::start().await;
    let (room, _) = server.open_room(&settings(2)).await;
    let mut ada = server.join(&room, "Ada").await;
    let ending = tokio::spawn(server.end());
    loop {
        if let crate::support::Event::Closed = ada.next().await {
            break;
        }
    }
    ending.await.unwrap();
}
