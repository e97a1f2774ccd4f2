//! `lpfl join --stub` against `lpfl serve`: what it measures, and what becomes of those who misbehave.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use fl_core::settings::{Quorum, RoomSettings, Texts};
use serde_json::Value;

use crate::program::{done, failed, lpfl, whole, write};

/// A server that ends with the test, and its address.
struct Served {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write(&folder.path().join("tiny"), &whole());
    let (data, model) = (path("data"), path("tiny"));
    let mut serve = lpfl(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data]);
    let serve = serve.args(["--model", &model]).stdout(Stdio::piped());
    let mut child = serve.stderr(Stdio::null()).spawn().unwrap();
    let mut greeting = String::new();
    let output = child.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut greeting).unwrap();
    let url = greeting.split(' ').nth(1).unwrap().to_owned();
    let _folder = folder;
    Served {
        child,
        url,
        _folder,
    }
}

/// A room whose rounds begin when this many clients are ready.
fn room(served: &Served, clients: u32, change: impl Fn(&mut RoomSettings)) -> String {
    let mut settings = RoomSettings {
        title: "Load".into(),
        model: "tiny".into(),
        texts: Texts::Own,
        task: learner::testing::task(),
        lora: learner::testing::lora(),
        ..RoomSettings::default()
    };
    settings.round.quorum = Quorum::Count(clients);
    settings.round.rounds = 3;
    change(&mut settings);
    let created = ureq::post(format!("{}/api/rooms", served.url))
        .header("content-type", "application/json")
        .send(serde_json::to_string(&settings).unwrap());
    let created = created.unwrap().into_body().read_to_string().unwrap();
    let created: Value = created.parse().unwrap();
    created["code"].as_str().unwrap().to_owned()
}

fn join(served: &Served, room: &str, more: &[&str]) -> Value {
    let mut join = lpfl(&["join", &served.url, "--room", room, "--stub", "--json"]);
    let output = done(&join.args(more).output().unwrap());
    assert_eq!(output.lines().count(), 1, "{output}");
    output.parse().unwrap()
}

/// The adapter that the room has now.
fn adapter(served: &Served, room: &str) -> Value {
    let answer = ureq::get(format!("{}/api/rooms/{room}", served.url)).call();
    let room: Value = answer
        .unwrap()
        .into_body()
        .read_to_string()
        .unwrap()
        .parse()
        .unwrap();
    let history = room["history"].as_array().unwrap();
    history.last().unwrap()["outcome"]["hash"].clone()
}

#[test]
fn every_step_of_every_stub_is_measured() {
    let served = serve();
    let code = room(&served, 30, |settings| settings.round.minimum = 30);
    let report = join(&served, &code, &["--clients", "30"]);
    for (name, expected) in [
        ("clients", 30),
        ("welcomed", 30),
        ("finished", 30),
        ("stopped", 0),
        ("reconnects", 0),
        ("rounds", 3),
        ("reports", 90),
        ("updates", 90),
    ] {
        assert_eq!(report[name], expected, "{name}: {report}");
    }
    let counts = [
        ("connect", 30),
        ("welcome", 30),
        ("report", 90),
        ("acknowledge", 90),
        ("global", 90),
    ];
    for (step, count) in counts {
        let times = &report["latency_ms"][step];
        assert_eq!(times["count"], count, "{step}: {report}");
        let time = |name: &str| times[name].as_f64().unwrap();
        assert!(
            time("p50") <= time("p90") && time("p90") <= time("p99"),
            "{step}: {report}"
        );
        assert!(
            time("p50") > 0.0 && time("p99") <= time("max") * 1.01,
            "{step}: {report}"
        );
    }
    assert!(report["updates_per_s"].as_f64().unwrap() > 0.0);
    assert_eq!(report["well_behaved"]["faults"], serde_json::json!({}));
    assert_eq!(report["adapter"], adapter(&served, &code));
    let bytes = |name: &str| report[name].as_u64().unwrap();
    let parameters = bytes("parameters");
    assert!(bytes("bytes_up") > 90 * 4 * parameters, "{report}");
    assert!(bytes("bytes_down") > 120 * 4 * parameters, "{report}");
}

#[test]
fn the_seed_decides_the_updates() {
    let served = serve();
    let adapter = |seed| {
        // One client: the order in which others report would change the sum's last digits.
        let code = room(&served, 1, |_| {});
        join(&served, &code, &["--seed", seed])["adapter"].clone()
    };
    let first = adapter("5");
    assert!(first.is_string());
    assert_eq!(first, adapter("5"));
    assert_ne!(first, adapter("6"));
}

#[test]
fn misdeeds_are_answered_and_the_others_go_on() {
    let served = serve();
    let code = room(&served, 20, |settings| {
        settings.round.minimum = 10;
        // What the well-behaved send and the others' good reports: the two that stall are not
        // waited for.
        settings.round.goal = 18;
    });
    let shares = "drop=0.1,stall=0.1,flood=0.1,malformed=0.2,replay=0.2";
    let report = join(&served, &code, &["--clients", "20", "--misbehave", shares]);
    assert_eq!(
        (&report["finished"], &report["rounds"]),
        (&20.into(), &3.into()),
        "{report}"
    );
    assert!(report["adapter"].is_string(), "{report}");
    assert_eq!(report["well_behaved"]["clients"], 6, "{report}");
    let group = |name: &str| &report["misbehaving"][name];
    for (name, clients) in [
        ("drop", 2),
        ("stall", 2),
        ("flood", 2),
        ("malformed", 4),
        ("replay", 4),
    ] {
        assert_eq!(group(name)["clients"], clients, "{name}: {report}");
        assert!(
            group(name)["misdeeds"].as_u64().unwrap() >= 3,
            "{name}: {report}"
        );
    }
    let faults = |name: &str, code: &str| group(name)["faults"][code].as_u64().unwrap_or(0);
    assert!(faults("flood", "overloaded") > 0, "{report}");
    let malformed = ["malformed", "non_finite", "misshapen"];
    assert!(
        malformed.iter().any(|code| faults("malformed", code) > 0),
        "{report}"
    );
    let replayed = ["duplicate_report", "stale_round"];
    assert!(
        replayed.iter().any(|code| faults("replay", code) > 0),
        "{report}"
    );
    assert!(report["reconnects"].as_u64().unwrap() >= 2, "{report}");
}

#[test]
fn spoilt_and_doubled_reports_count_once_and_the_others_go_on() {
    let served = serve();
    let code = room(&served, 20, |settings| {
        settings.round.minimum = 10;
        // The others' reports: a server that was sent a wrong length waits for the rest.
        settings.round.goal = 12;
    });
    let shares = "cut=0.2,flip=0.2,duplicate=0.2";
    let mut join = lpfl(&["join", &served.url, "--room", &code, "--stub", "--json"]);
    let join = join.args(["--clients", "20", "--trace", "--misbehave", shares]);
    let output = done(&join.output().unwrap());
    let lines: Vec<Value> = output.lines().map(|line| line.parse().unwrap()).collect();
    let (report, told) = lines.split_last().unwrap();
    assert_eq!(report["finished"], 20, "{report}");
    assert_eq!(report["adapter"], adapter(&served, &code));
    for name in ["cut", "flip", "duplicate"] {
        let group = &report["misbehaving"][name];
        assert_eq!(group["clients"], 4, "{name}: {report}");
        assert!(group["misdeeds"].as_u64().unwrap() >= 4, "{name}: {report}");
    }
    assert!(report["reconnects"].as_u64().unwrap() >= 8, "{report}");
    let of = |kind: &'static str| told.iter().filter(move |line| line["told"] == kind);
    let clients: BTreeSet<u64> = of("place")
        .map(|line| line["client"].as_u64().unwrap())
        .collect();
    // Who came back got its place back.
    assert_eq!(clients, (1..=20).collect());
    let hashes: BTreeSet<(u64, &str)> = of("adapter")
        .map(|line| {
            (
                line["round"].as_u64().unwrap(),
                line["hash"].as_str().unwrap(),
            )
        })
        .collect();
    let rounds: Vec<u64> = hashes.iter().map(|(round, _)| *round).collect();
    assert_eq!(rounds, [0, 1, 2, 3], "one adapter for each round");
}

#[test]
fn bad_wishes_are_named() {
    let nowhere = lpfl(&["join", "http://127.0.0.1:9", "--room", "ABCDEF", "--stub"]).output();
    failed(&nowhere.unwrap(), "http://127.0.0.1:9 cannot be reached");
    let many = lpfl(&[
        "join",
        "http://127.0.0.1:9",
        "--room",
        "ABCDEF",
        "--clients",
        "2000",
    ])
    .output();
    failed(&many.unwrap(), "at most 1000 can learn in one process");
    let mut shares = lpfl(&["join", "http://127.0.0.1:9", "--room", "A", "--stub"]);
    let shares = shares.args(["--misbehave", "dance=1"]).output().unwrap();
    let errors = String::from_utf8(shares.stderr).unwrap();
    assert_eq!(shares.status.code(), Some(2), "{errors}");
    assert!(errors.contains("expected one of drop, stall"), "{errors}");
    let mut alone = lpfl(&["join", "http://127.0.0.1:9", "--room", "A"]);
    alone.args(["--misbehave", "drop=1"]);
    assert_eq!(alone.output().unwrap().status.code(), Some(2));
}
