//! Peers that break the rules: each gets its typed answer, and others do not notice.

use std::time::Duration;

use fl_core::codec::CLIENT_TEXT_LIMIT;
use fl_core::error::FaultCode;
use fl_core::protocol::{ClientMessage, PROTOCOL_VERSION};
use server::Limits;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::{Client, Event, TestServer, limits, report, settings, update};

/// A server with a room of two in which Ada and the peer work on round 1.
async fn in_round() -> (TestServer, String, Client, Client) {
    let server = TestServer::start().await;
    let (room, _) = server.open_room(&settings(2)).await;
    let mut ada = server.join(&room, "Ada").await;
    let mut peer = server.join(&room, "Peer").await;
    ada.ready().await;
    peer.ready().await;
    (server, room, ada, peer)
}

/// Ada finishes the round alone once the peer has left.
async fn ada_goes_on(mut ada: Client, mut peer: Client) {
    peer.say(&ClientMessage::Leave).await;
    ada.do_round(1.0).await;
    let record = ada.round_end().await;
    assert_eq!(record.participants, [ada.welcome.unwrap().client]);
}

#[tokio::test]
async fn unknown_room_is_refused() {
    let server = TestServer::start().await;
    for code in ["NOROOM", "", "../../etc/passwd", "ÄÖÜ"] {
        let mut peer = Client::connect(server.address).await;
        peer.hello(PROTOCOL_VERSION, code, "Peer", None).await;
        assert_eq!(peer.refusal().await.code, FaultCode::UnknownRoom);
    }
}

#[tokio::test]
async fn other_protocol_version_is_refused() {
    let server = TestServer::start().await;
    let (room, _) = server.open_room(&settings(2)).await;
    let mut peer = Client::connect(server.address).await;
    peer.hello(PROTOCOL_VERSION + 1, &room, "Peer", None).await;
    assert_eq!(peer.refusal().await.code, FaultCode::ProtocolVersion);
}

#[tokio::test]
async fn full_room_is_refused_and_its_members_stay() {
    let server = TestServer::start().await;
    let mut small = settings(2);
    small.round.capacity = 2;
    let (room, _) = server.open_room(&small).await;
    let mut ada = server.join(&room, "Ada").await;
    let mut ben = server.join(&room, "Ben").await;
    let mut peer = Client::connect(server.address).await;
    peer.hello(PROTOCOL_VERSION, &room, "Peer", None).await;
    assert_eq!(peer.refusal().await.code, FaultCode::RoomFull);
    ada.ready().await;
    ben.ready().await;
    ada.do_round(1.0).await;
    ben.do_round(1.0).await;
    assert_eq!(ada.round_end().await.participants.len(), 2);
}

#[tokio::test]
async fn first_frame_has_to_be_a_hello() {
    let server = TestServer::start().await;
    let first: [&str; 3] = ["{", r#"{"type":"leave"}"#, r#"{"type":"dance"}"#];
    for text in first {
        let mut peer = Client::connect(server.address).await;
        peer.text(text).await;
        assert_eq!(peer.refusal().await.code, FaultCode::Malformed, "{text}");
    }
    let mut peer = Client::connect(server.address).await;
    peer.bytes(vec![0; 100]).await;
    assert_eq!(peer.refusal().await.code, FaultCode::Malformed);
}

#[tokio::test]
async fn silence_instead_of_a_hello_is_cut() {
    let limits = Limits {
        handshake: Duration::from_millis(50),
        ..limits()
    };
    let server = TestServer::start_with(limits).await;
    let mut peer = Client::connect(server.address).await;
    assert_eq!(peer.refusal().await.code, FaultCode::Malformed);
}

#[tokio::test]
async fn malformed_frame_is_answered_and_the_connection_stays() {
    let (_server, _, ada, mut peer) = in_round().await;
    peer.text("not json").await;
    assert_eq!(peer.fault().await.code, FaultCode::Malformed);
    peer.bytes(vec![9, 0, 0, 0, b'{']).await;
    assert_eq!(peer.fault().await.code, FaultCode::Malformed);
    let order = peer.work_again().await;
    let frame = update(&report(&order), &peer.global);
    peer.bytes(frame[..frame.len() - 7].to_vec()).await;
    assert_eq!(peer.fault().await.code, FaultCode::Malformed);
    ada_goes_on(ada, peer).await;
}

#[tokio::test]
async fn nothing_but_malformed_frames_ends_the_connection() {
    let (_server, _, mut ada, mut peer) = in_round().await;
    for _ in 0..limits().malformed_in_a_row {
        peer.text("not json").await;
    }
    assert_eq!(peer.refusal().await.code, FaultCode::Malformed);
    ada.do_round(1.0).await;
}

#[tokio::test]
async fn oversized_frames_are_refused() {
    let (_server, _, mut ada, mut peer) = in_round().await;
    peer.text(&"x".repeat(CLIENT_TEXT_LIMIT + 1)).await;
    assert_eq!(peer.refusal().await.code, FaultCode::Oversized);
    ada.do_round(1.0).await;
}

#[tokio::test]
async fn oversized_update_is_refused() {
    let (server, room, mut ada, mut peer) = in_round().await;
    let bytes = peer.global.layout().parameters() * 4;
    peer.bytes(vec![0; bytes + 20_000]).await;
    assert_eq!(peer.refusal().await.code, FaultCode::Oversized);
    // Far above the limit: the frame is not even read.
    let mut huge = server.join(&room, "Huge").await;
    huge.try_bytes(vec![0; bytes + 10_000_000]).await;
    assert_eq!(huge.refusal().await.code, FaultCode::Oversized);
    ada.do_round(1.0).await;
}

#[tokio::test]
async fn bad_updates_get_their_reasons() {
    let (_server, _, ada, mut peer) = in_round().await;
    let order = peer.work_again().await;
    let good = report(&order);
    let mut nan = peer.global.clone();
    nan.matrices.values_mut().next().unwrap().values[0] = f32::NAN;
    let mut misshapen = peer.global.clone();
    misshapen.matrices.pop_first();
    let mut stale = good.clone();
    stale.round = 7;
    let mut other_base = good.clone();
    other_base.base = peer.moved(1.0).hash();
    let mut boastful = good.clone();
    boastful.gold = 1_000_000;
    let global = peer.global.clone();
    let cases = [
        (update(&good, &nan), FaultCode::NonFinite),
        (update(&good, &misshapen), FaultCode::Misshapen),
        (update(&stale, &global), FaultCode::StaleRound),
        (update(&other_base, &global), FaultCode::WrongBase),
        (update(&boastful, &global), FaultCode::ExampleCount),
    ];
    for (frame, expected) in cases {
        peer.bytes(frame).await;
        assert_eq!(peer.receipt().await.fault.unwrap().code, expected);
    }
    ada_goes_on(ada, peer).await;
}

#[tokio::test]
async fn duplicate_report_counts_once() {
    let (_server, _, mut ada, mut peer) = in_round().await;
    let order = peer.work_again().await;
    let adapter = peer.moved(5.0);
    peer.report(&order, &adapter).await;
    assert_eq!(peer.receipt().await.fault, None);
    peer.report(&order, &adapter).await;
    let fault = peer.receipt().await.fault.unwrap();
    assert_eq!(fault.code, FaultCode::DuplicateReport);
    let before = ada.moved(0.0);
    ada.do_round(1.0).await;
    let record = ada.round_end().await;
    assert_eq!((record.participants.len(), record.gold), (2, 8));
    let value =
        |adapter: &fl_core::adapter::Adapter| adapter.matrices.values().next().unwrap().values[0];
    assert!((value(&ada.global) - value(&before) - 3.0).abs() < 1e-4);
}

#[tokio::test]
async fn newer_connection_of_an_identity_replaces_the_older() {
    let (server, room, mut ada, mut peer) = in_round().await;
    let resume = peer.welcome.clone().unwrap().resume;
    let mut second = Client::join(server.address, &room, "Peer", Some(&resume)).await;
    assert_eq!(peer.refusal().await.code, FaultCode::Replaced);
    second.ready().await;
    second.do_round(1.0).await;
    ada.do_round(1.0).await;
    assert_eq!(ada.round_end().await.participants.len(), 2);
}

#[tokio::test]
async fn flood_is_cut() {
    let limits = Limits {
        messages_per_second: 20,
        ..limits()
    };
    let server = TestServer::start_with(limits).await;
    let (room, _) = server.open_room(&settings(2)).await;
    let mut peer = server.join(&room, "Peer").await;
    for _ in 0..60 {
        // The server may have closed already.
        peer.try_bytes(Vec::new()).await;
    }
    let fault = loop {
        match peer.next().await {
            Event::Message(fl_core::protocol::ServerMessage::Refused(fault)) => break fault,
            Event::Closed => panic!("closed without a reason"),
            _ => {}
        }
    };
    assert!(matches!(
        fault.code,
        FaultCode::Overloaded | FaultCode::Malformed
    ));
}

#[tokio::test]
async fn silent_connection_is_cut_and_a_quiet_one_hears_heartbeats() {
    let limits = Limits {
        heartbeat: Duration::from_millis(50),
        silence: Duration::from_millis(400),
        ..limits()
    };
    let server = TestServer::start_with(limits).await;
    let (room, _) = server.open_room(&settings(2)).await;
    let mut quiet = server.join(&room, "Quiet").await;
    // Reading answers the pings, so this one lives on.
    let heartbeat = |m: &fl_core::protocol::ServerMessage| {
        matches!(m, fl_core::protocol::ServerMessage::Heartbeat)
    };
    for _ in 0..15 {
        quiet.until(heartbeat).await;
    }
    // Not reading for longer than the silence allows.
    let silent = server.join(&room, "Silent").await;
    let connected = |count: u64| {
        let path = format!("/api/rooms/{room}");
        let server = &server;
        async move { server.get(&path).await.json()["view"]["connected"] == count }
    };
    assert!(connected(2).await);
    let mut cut = false;
    for _ in 0..60 {
        quiet.until(heartbeat).await;
        cut = connected(1).await;
        if cut {
            break;
        }
    }
    assert!(cut, "the silent connection is still there");
    drop(silent);
}

#[tokio::test]
async fn pages_of_other_origins_may_not_connect() {
    let server = TestServer::start().await;
    let url = format!("ws://{}/ws", server.address);
    let with_origin = |origin: String| {
        let mut request = url.as_str().into_client_request().unwrap();
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
        connect_async(request)
    };
    assert!(with_origin("http://evil.example".into()).await.is_err());
    assert!(
        with_origin(format!("http://{}", server.address))
            .await
            .is_ok()
    );
}
