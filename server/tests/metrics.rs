//! What a monitoring system reads after a round with all that can happen in it.

use crate::support::{Client, TestServer, report, settings, update};
use fl_core::error::FaultCode;
use fl_core::protocol::{ClientMessage, PROTOCOL_VERSION};

/// The value of a sample.
fn sample(text: &str, name: &str) -> f64 {
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = found.unwrap_or_else(|| panic!("{name} is not in\n{text}"));
    value.parse().unwrap()
}

/// The metrics of a server after a round of Ada's in which a second client declined, and two
/// others were refused; and the room's code.
async fn after_a_round() -> (TestServer, Client, String) {
    let server = TestServer::start().await;
    let (room, _) = server.open_room(&settings(2)).await;
    let mut ada = server.join(&room, "Ada").await;
    let mut eve = server.join(&room, "Eve").await;
    ada.ready().await;
    eve.ready().await;
    let order = eve.work().await;
    let mut stale = report(&order);
    stale.round = 7;
    let frame = update(&stale, &eve.global);
    eve.bytes(frame).await;
    assert!(eve.receipt().await.fault.is_some());
    eve.say(&ClientMessage::Declined {
        round: order.round,
        reason: "Eve's \"reason\"} 1".into(),
    })
    .await;
    ada.do_round(1.0).await;
    ada.round_end().await;
    let mut stranger = Client::connect(server.address).await;
    stranger
        .hello(PROTOCOL_VERSION, "NOROOM", "Mallory", None)
        .await;
    assert_eq!(stranger.refusal().await.code, FaultCode::UnknownRoom);
    eve.say(&ClientMessage::Leave).await;
    while !matches!(eve.next().await, crate::support::Event::Closed) {}
    (server, ada, room)
}

#[tokio::test]
async fn rounds_clients_and_refusals_are_counted() {
    let (server, ada, room) = after_a_round().await;
    let answer = server.get("/metrics").await;
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = answer.text();
    let expected = [
        ("lpfl_rounds_total{outcome=\"completed\"}", 1.0),
        ("lpfl_round_duration_seconds_count", 1.0),
        ("lpfl_round_participants_sum", 1.0),
        ("lpfl_exclusions_total{reason=\"declined\"}", 1.0),
        ("lpfl_refused_updates_total{code=\"stale_round\"}", 1.0),
        ("lpfl_refused_connections_total{code=\"unknown_room\"}", 1.0),
        ("lpfl_refused_connections_total{code=\"internal\"}", 0.0),
        ("lpfl_rounds_total{outcome=\"abandoned\"}", 0.0),
        ("lpfl_rooms", 1.0),
        ("lpfl_updates_in_flight_bytes", 0.0),
    ];
    for (name, value) in expected {
        assert_eq!(sample(&text, name), value, "{name}");
    }
    for name in ["lpfl_received_bytes_total", "lpfl_sent_bytes_total"] {
        assert!(sample(&text, name) > 10_000.0, "{name}");
    }
    if cfg!(target_os = "linux") {
        assert!(sample(&text, "lpfl_resident_memory_bytes") > 1e6);
    }
    assert!(text.ends_with("# EOF\n"));
    for secret in [room.as_str(), "Ada", "Eve", "Mallory", "NOROOM"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    // The others have gone; the server notices in its own time.
    while sample(&server.get("/metrics").await.text(), "lpfl_connections") > 1.0 {}
    drop(ada);
    while sample(&server.get("/metrics").await.text(), "lpfl_connections") > 0.0 {}
    let text = server.get("/metrics").await.text();
    assert_eq!(sample(&text, "lpfl_send_queues"), 0.0);
}

#[tokio::test]
async fn dashboard_and_page_for_operators_name_metrics_that_there_are() {
    let (server, _ada, _) = after_a_round().await;
    let text = server.get("/metrics").await.text();
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/");
    for (file, least) in [
        ("grafana.json", 10),
        ("operating.md", 10),
        ("alerts.yml", 5),
    ] {
        let content = std::fs::read_to_string(format!("{docs}{file}")).unwrap();
        let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
        let words = content.split(|character: char| !is_part(character));
        let names: Vec<&str> = words.filter(|word| word.starts_with("lpfl_")).collect();
        assert!(names.len() >= least, "{file}: {names:?}");
        for name in names {
            let is_it =
                |line: &str| line.starts_with(name) || line.starts_with(&format!("# TYPE {name} "));
            assert!(text.lines().any(is_it), "{file}: {name} is not in\n{text}");
        }
    }
    let page = std::fs::read_to_string(format!("{docs}operating.md")).unwrap();
    let reasons = text.lines().filter_map(|line| {
        let label = line.strip_prefix("lpfl_exclusions_total{reason=\"")?;
        label.split_once('"').map(|(reason, _)| reason)
    });
    let reasons: Vec<&str> = reasons.collect();
    // Also of those that have not happened.
    assert!(reasons.contains(&"process_lost"), "{reasons:?}");
    for reason in reasons {
        assert!(page.contains(&format!("`{reason}`")), "{reason}");
    }
    let dashboard = std::fs::read_to_string(format!("{docs}grafana.json")).unwrap();
    let dashboard: serde_json::Value = dashboard.parse().unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() >= 10);
}
