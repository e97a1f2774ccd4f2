//! `lpfl serve --tls-self-signed` and clients that trust it by its fingerprint.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::program::{done, failed, lpfl, whole, write};
use crate::room::{Served, settings, texts};

/// A join of a room as far as its end.
fn join(url: &str, room: &str, data: &str, fingerprint: Option<&str>) -> Command {
    let mut join = lpfl(&["join", url, "--room", room, "--data", data, "--json"]);
    join.args(fingerprint.map(|fingerprint| format!("--tls-fingerprint={fingerprint}")));
    join
}

#[test]
fn self_signed_server_is_trusted_by_its_fingerprint_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write(&folder.path().join("tiny"), &whole());
    std::fs::write(path("texts.csv"), texts()).unwrap();
    let mut serve = lpfl(&["serve", "--listen", "127.0.0.1:0", "--tls-self-signed"]);
    serve.args(["--data-dir", &path("data"), "--model", &path("tiny")]);
    let serve = serve.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut served = Served(serve.spawn().unwrap());
    let mut lines = BufReader::new(served.0.stdout.take().unwrap()).lines();
    let greeting = lines.next().unwrap().unwrap();
    let url = greeting.split(' ').nth(1).unwrap();
    assert!(url.starts_with("https://127.0.0.1:"), "{greeting}");
    let printed = lines.next().unwrap().unwrap();
    let fingerprint = printed.rsplit(' ').next().unwrap();

    let pem = std::fs::read(path("data/self-signed.pem")).unwrap();
    let certificate = Certificate::from_pem(&pem).unwrap();
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate]));
    let agent = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .build();
    let mut room = settings("tiny");
    room.round.rounds = 2;
    let created = ureq::Agent::from(agent)
        .post(format!("{url}/api/rooms"))
        .header("content-type", "application/json")
        .send(serde_json::to_string(&room).unwrap());
    let created = created.unwrap().into_body().read_to_string().unwrap();
    let created: Value = created.parse().unwrap();
    let room = created["code"].as_str().unwrap();

    let data = path("texts.csv");
    let unknown = join(url, room, &data, None).output().unwrap();
    let line = failed(&unknown, "is not trusted");
    assert!(line.contains("add --tls-fingerprint"), "{line}");
    let other = "00:".repeat(31) + "00";
    let other = join(url, room, &data, Some(&other)).output().unwrap();
    assert!(failed(&other, "is not trusted").contains(fingerprint));
    let plain = url.replace("https", "http");
    let plain = join(&plain, room, &data, Some(fingerprint))
        .output()
        .unwrap();
    failed(&plain, "--tls-fingerprint needs an https address");

    let events = done(&join(url, room, &data, Some(fingerprint)).output().unwrap());
    let rounds = events.lines().filter(|line| {
        let event: Value = line.parse().unwrap();
        event["type"] == "adopted"
    });
    assert!(rounds.count() >= 3, "{events}");
}

#[test]
fn certificate_and_key_belong_together() {
    let output = lpfl(&["serve", "--tls-cert", "cert.pem"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let missing = lpfl(&["serve", "--tls-cert", "none.pem", "--tls-key", "none.pem"]);
    failed(&{ missing }.output().unwrap(), "none.pem cannot be read");
}
