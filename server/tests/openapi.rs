//! The description of the HTTP interface against the interface itself.

use std::process::Command;

use serde_json::{Map, Value};

use crate::support::{TestServer, settings};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

async fn paths(server: &TestServer) -> Map<String, Value> {
    let document = server.get("/api/openapi.json").await.json();
    document["paths"].as_object().unwrap().clone()
}

/// A path with its parameters filled in.
fn filled(path: &str, room: &str) -> String {
    let values = [("{code}", room), ("{client}", "1"), ("{name}", "tiny")];
    let path = values.iter().fold(path.to_owned(), |path, (name, value)| {
        path.replace(name, value)
    });
    path.replace("{file}", "config.json")
}

#[tokio::test]
async fn what_is_described_is_there_and_nothing_else_of_it() {
    let server = TestServer::start().await;
    let (room, _) = server.open_room(&settings(1)).await;
    let paths = paths(&server).await;
    assert!(paths.len() >= 16, "{:?}", paths.keys());
    for (path, operations) in &paths {
        for method in METHODS {
            let filled = filled(path, &room);
            let answer = server
                .request(&method.to_uppercase(), &filled, &[], "")
                .await;
            match operations.get(method) {
                Some(operation) => {
                    let status = answer.status.to_string();
                    assert!(
                        operation["responses"].get(&status).is_some(),
                        "{method} {path}: {status}"
                    );
                    assert!(!answer.text().contains("There is no such path"), "{path}");
                    assert!(operation["summary"].is_string(), "{method} {path}");
                }
                None => assert_eq!(answer.status, 405, "{method} {path}"),
            }
        }
    }
}

/// Routes come in by `routes!`, which describes them; the two others take what no path does.
#[test]
fn no_route_is_left_out() {
    let source = include_str!("../src/http/mod.rs");
    let router = &source[source.find("pub(crate) fn router").unwrap()..];
    let plain: Vec<&str> = router
        .lines()
        .filter(|line| line.contains(".route("))
        .collect();
    assert_eq!(plain.len(), 1, "{plain:?}");
    assert!(plain[0].contains("\"/api/{*rest}\""));
    for other in [".nest", ".merge", ".route_service", ".fallback_service"] {
        assert!(!router.contains(other), "{other}");
    }
}

#[tokio::test]
async fn references_lead_somewhere() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.json();
    let text = document.to_string();
    let mut found = 0;
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
        found += 1;
    }
    assert!(found > 20);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Python with schemathesis, which `cargo xtask test` finds"]
async fn server_withstands_what_its_description_allows() {
    let python = std::env::var("LPFL_PYTHON").expect("LPFL_PYTHON names a Python");
    let server = TestServer::start_as(|config| {
        // Thousands of wrong codes and of rooms are the purpose; a full server would answer 503.
        config.limits.wrong_codes_per_address_and_minute = 1_000_000;
        config.limits.rooms_per_address_and_minute = 1_000_000;
        config.limits.rooms = 1_000_000;
    })
    .await;
    let address = format!("http://{}/api/openapi.json", server.address);
    // It keeps notes of a run where it is started.
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .current_dir(notes)
            .args([
                "-c",
                "from schemathesis.cli import schemathesis; schemathesis()",
            ])
            .args([
                "run",
                &address,
                "--max-examples=30",
                "--seed=1",
                "--continue-on-failure",
            ])
            .args(["--checks", CHECKS])
            .status()
    });
    assert!(ran.await.unwrap().unwrap().success());
    assert_eq!(server.get("/healthz").await.status, 200);
}

/// What every answer is checked for. Not whether bad data is refused and good data taken: what a
/// room can be is more than a schema says.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method";
