//! A room of a model whose weights are in several files: `lpfl serve` offers it, `lpfl join`
//! downloads it and learns.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use fl_core::settings::{Quorum, RoomSettings, Texts};
use serde_json::Value;

use crate::program::{PARTS, done, failed, lpfl, sharded, write};

/// A server that ends with the test.
pub struct Served(pub Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A room of one client for one round, of the model of this name.
pub fn settings(model: &str) -> RoomSettings {
    let mut settings = RoomSettings {
        title: "Shards".into(),
        model: model.into(),
        texts: Texts::Own,
        task: learner::testing::task(),
        lora: learner::testing::lora(),
        ..RoomSettings::default()
    };
    settings.round.quorum = Quorum::Count(1);
    settings.round.minimum = 1;
    settings.round.rounds = 1;
    settings
}

/// Labelled texts, as a client brings them.
pub fn texts() -> String {
    let mut texts = String::from("text,label\n");
    for (text, label) in learner::testing::toy_texts(8, 1) {
        texts += &format!("{text},{}\n", ["negative", "positive"][label]);
    }
    texts
}

#[test]
fn clients_download_every_shard() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let files = sharded();
    write(&folder.path().join("sharded"), &files);
    std::fs::write(path("texts.csv"), texts()).unwrap();

    let mut serve = lpfl(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        &path("data"),
    ]);
    serve.args(["--model", &path("sharded"), "--record"]);
    let serve = serve.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut served = Served(serve.spawn().unwrap());
    let mut greeting = String::new();
    let output = served.0.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut greeting).unwrap();
    let url = greeting.split(' ').nth(1).unwrap();

    let created = ureq::post(format!("{url}/api/rooms"))
        .header("content-type", "application/json")
        .send(serde_json::to_string(&settings("sharded")).unwrap());
    let created = created.unwrap().into_body().read_to_string().unwrap();
    let created: Value = created.parse().unwrap();
    let room = created["code"].as_str().unwrap();

    let mut join = lpfl(&[
        "join",
        url,
        "--room",
        room,
        "--data",
        &path("texts.csv"),
        "--json",
    ]);
    let events = done(&join.output().unwrap());
    let events: Vec<Value> = events.lines().map(|line| line.parse().unwrap()).collect();
    let of = |kind: &str| {
        events
            .iter()
            .filter(|event| event["type"] == kind)
            .collect::<Vec<_>>()
    };
    let listed = of("welcomed")[0]["model"]["files"]
        .as_array()
        .unwrap()
        .clone();
    let names: Vec<&str> = listed
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["config.json", "tokenizer.json", PARTS[0], PARTS[1]]);
    let bytes: usize = names.iter().map(|name| files[*name].len()).sum();
    let last = *of("download").last().unwrap();
    assert_eq!(
        (&last["loaded"], &last["total"]),
        (&bytes.into(), &bytes.into())
    );
    let adopted = of("adopted");
    assert!(adopted.len() >= 2, "{events:?}");
    assert_eq!(of("welcomed")[0]["recorded"], true);

    // While the server still runs, its round is computed once more.
    let replayed = done(&lpfl(&["replay", &path("data"), "--json"]).output().unwrap());
    let replayed: Value = replayed.parse().unwrap();
    assert_eq!(
        (&replayed["round"], &replayed["updates"]),
        (&1.into(), &1.into())
    );
    assert_eq!(replayed["outcome"], "same");
    assert_eq!(
        Some(&replayed["hash"]),
        adopted.last().map(|event| &event["hash"])
    );
    let wrong = lpfl(&["replay", &path("data"), "--room", "nobody"]).output();
    failed(
        &wrong.unwrap(),
        &format!("expected one of [{room}], got NOBODY"),
    );
}
