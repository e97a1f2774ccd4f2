//! Every limit over real sockets: what is too much gets its typed answer, and others go on.

use std::time::Duration;

use fl_core::error::FaultCode;
use fl_core::protocol::{PROTOCOL_VERSION, ServerMessage};
use fl_core::settings::RoomSettings;
use server::{LimitInfo, Limits};
use tokio::time::timeout;

use crate::support::{Answer, Client, Event, TestServer, limits, settings};

const JSON: (&str, &str) = ("content-type", "application/json");

/// A server behind a proxy, with these limits.
async fn behind_proxy(limits: Limits) -> TestServer {
    TestServer::start_as(|config| {
        config.trust_proxy = true;
        config.limits = limits;
    })
    .await
}

/// Sends the settings of a room; a proxy would say from where.
async fn open_room(server: &TestServer, settings: &RoomSettings, from: &str) -> Answer {
    let body = serde_json::to_string(settings).unwrap();
    let headers = [JSON, ("x-forwarded-for", from)];
    server.request("POST", "/api/rooms", &headers, &body).await
}

#[tokio::test]
async fn sockets_of_one_address_are_bounded() {
    let server = behind_proxy(Limits {
        connections_per_address: 2,
        ..limits()
    })
    .await;
    let connect = |from: &'static str| Client::connect_from(server.address, from);
    let first = connect("192.0.2.1").await.unwrap();
    let _second = connect("10.0.0.1, 192.0.2.1").await.unwrap();
    assert!(connect("192.0.2.1").await.is_none());
    assert!(connect("192.0.2.2").await.is_some());
    drop(first);
    // The server hears of the end in its own time.
    while connect("192.0.2.1").await.is_none() {}
}

#[tokio::test]
async fn addresses_of_headers_count_behind_a_proxy_only() {
    let server = TestServer::start_with(Limits {
        connections_per_address: 1,
        ..limits()
    })
    .await;
    let _first = Client::connect_from(server.address, "192.0.2.1")
        .await
        .unwrap();
    assert!(
        Client::connect_from(server.address, "192.0.2.2")
            .await
            .is_none()
    );
}

#[tokio::test]
async fn sockets_of_the_server_are_bounded() {
    let server = TestServer::start_with(Limits {
        connections: 1,
        ..limits()
    })
    .await;
    let _only = Client::connect(server.address).await;
    assert!(
        Client::connect_from(server.address, "192.0.2.1")
            .await
            .is_none()
    );
}

#[tokio::test]
async fn rooms_of_one_address_are_bounded() {
    let server = behind_proxy(Limits {
        rooms_per_address_and_minute: 2,
        ..limits()
    })
    .await;
    let room = settings(1);
    for _ in 0..2 {
        assert_eq!(open_room(&server, &room, "192.0.2.1").await.status, 201);
    }
    let third = open_room(&server, &room, "192.0.2.1").await;
    assert_eq!(
        (third.status, third.fault().as_str()),
        (429, "rate_limited")
    );
    assert_eq!(open_room(&server, &room, "192.0.2.2").await.status, 201);
}

#[tokio::test]
async fn codes_cannot_be_guessed() {
    let server = behind_proxy(Limits {
        wrong_codes_per_address_and_minute: 4,
        ..limits()
    })
    .await;
    let (room, _) = server.open_room(&settings(2)).await;
    let (guesser, other) = ("192.0.2.1", "192.0.2.2");
    let look = |path: String, from: &'static str| {
        let server = &server;
        async move {
            let headers = [("x-forwarded-for", from)];
            server.request("GET", &path, &headers, "").await.status
        }
    };
    assert_eq!(look("/api/rooms/AAAAAA".into(), guesser).await, 404);
    assert_eq!(look("/api/rooms/AAAAAC/adapter".into(), guesser).await, 404);
    let mut wrong = Client::connect_from(server.address, guesser).await.unwrap();
    wrong
        .hello(PROTOCOL_VERSION, "AAAAAD", "Guesser", None)
        .await;
    assert_eq!(wrong.refusal().await.code, FaultCode::UnknownRoom);
    let headers = [
        ("x-forwarded-for", guesser),
        ("authorization", "Bearer wrong"),
    ];
    let pause = format!("/api/rooms/{room}/pause");
    let refused = server.request("POST", &pause, &headers, "").await;
    assert_eq!(refused.status, 403);
    // From now on even the right code tells the guesser nothing.
    assert_eq!(look(format!("/api/rooms/{room}"), guesser).await, 429);
    let mut right = Client::connect_from(server.address, guesser).await.unwrap();
    right.hello(PROTOCOL_VERSION, &room, "Guesser", None).await;
    assert_eq!(right.refusal().await.code, FaultCode::RateLimited);
    assert_eq!(look(format!("/api/rooms/{room}"), other).await, 200);
}

#[tokio::test]
async fn room_that_refuses_too_many_takes_no_newcomer_for_a_while() {
    let server = TestServer::start_with(Limits {
        failed_hellos_per_room_and_minute: 2,
        ..limits()
    })
    .await;
    let (room, _) = server.open_room(&settings(2)).await;
    let (other, _) = server.open_room(&settings(2)).await;
    let mut member = server.join(&room, "Ada").await;
    for (version, name) in [(PROTOCOL_VERSION + 1, "Peer"), (PROTOCOL_VERSION, "")] {
        let mut peer = Client::connect(server.address).await;
        peer.hello(version, &room, name, None).await;
        assert_ne!(peer.refusal().await.code, FaultCode::RateLimited);
    }
    let mut late = Client::connect(server.address).await;
    late.hello(PROTOCOL_VERSION, &room, "Ben", None).await;
    assert_eq!(late.refusal().await.code, FaultCode::RateLimited);
    server.join(&other, "Ben").await;
    member.ready().await;
    member
        .until(|message| matches!(message, ServerMessage::Room(_)))
        .await;
}

#[tokio::test]
async fn server_bounds_what_rooms_ask_for() {
    let server = TestServer::start_with(Limits {
        clients_per_room: 20,
        update_mib: 1,
        ..limits()
    })
    .await;
    let mut crowded = settings(1);
    crowded.round.capacity = 21;
    let answer = open_room(&server, &crowded, "").await;
    assert_eq!(
        (answer.status, answer.fault().as_str()),
        (400, "bad_settings")
    );
    assert!(
        answer
            .text()
            .contains("round.capacity: expected 1 to 20, got 21")
    );
    let mut heavy = RoomSettings::default();
    heavy.round.capacity = 20;
    heavy.lora.rank = 128;
    let answer = open_room(&server, &heavy, "").await;
    assert_eq!(
        (answer.status, answer.fault().as_str()),
        (400, "bad_settings")
    );
    assert!(
        answer.text().contains("updates of up to 1 MiB"),
        "{}",
        answer.text()
    );
    heavy.lora.rank = 8;
    assert_eq!(open_room(&server, &heavy, "").await.status, 201);
}

/// A room whose updates have 134 KB, so that 1 MiB is enough for three at once.
async fn room_of_large_updates(server: &TestServer) -> String {
    let mut wide = settings(1);
    let bundled = RoomSettings::default();
    (wide.model, wide.task, wide.lora) = (bundled.model, bundled.task, bundled.lora);
    server.open_room(&wide).await.0
}

#[tokio::test]
async fn update_waits_for_memory_that_others_hold() {
    let server = TestServer::start_with(Limits {
        updates_in_flight_mib: 1,
        ..limits()
    })
    .await;
    let room = room_of_large_updates(&server).await;
    let mut halves = Vec::new();
    for _ in 0..4 {
        let mut half = server.join(&room, "Half").await;
        half.half_a_frame(vec![0; 100 * 1024]).await;
        halves.push(half);
    }
    let mut ada = server.join(&room, "Ada").await;
    ada.ready().await;
    let order = ada.work().await;
    let update = ada.moved(1.0);
    ada.report(&order, &update).await;
    drop(halves);
    assert_eq!(ada.receipt().await.fault, None);
}

#[tokio::test]
async fn half_an_update_is_not_waited_for_whatever_pings_come() {
    let server = TestServer::start_with(Limits {
        silence: Duration::from_secs(1),
        ..limits()
    })
    .await;
    let room = room_of_large_updates(&server).await;
    let mut half = server.join(&room, "Half").await;
    half.half_a_frame(vec![0; 100 * 1024]).await;
    for _ in 0..1000 {
        half.ping().await;
        match timeout(Duration::from_millis(20), half.next()).await {
            Ok(Event::Message(ServerMessage::Refused(fault))) => {
                assert_eq!(fault.code, FaultCode::Overloaded);
                return;
            }
            Ok(Event::Closed) => break,
            Ok(_) | Err(_) => {}
        }
    }
    panic!("the connection was not refused");
}

#[test]
fn page_for_operators_has_every_limit() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md");
    let page = std::fs::read_to_string(page).unwrap();
    for LimitInfo {
        name,
        default,
        meaning,
    } in Limits::table()
    {
        let row = format!("| `{name}` | {default} | {meaning} |");
        assert!(page.contains(&row), "expected {row}");
    }
}
