//! The log of `lpfl serve` as JSON.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::program::{lpfl, whole, write};
use crate::room::{Served, settings};

#[test]
fn log_is_one_object_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write(&folder.path().join("tiny"), &whole());
    let mut serve = lpfl(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]);
    serve.args(["--data-dir", &path("data"), "--model", &path("tiny")]);
    let serve = serve.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut served = Served(serve.spawn().unwrap());
    let mut greeting = String::new();
    let output = served.0.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut greeting).unwrap();
    let url = greeting.split(' ').nth(1).unwrap();
    let opened = ureq::post(format!("{url}/api/rooms"))
        .header("content-type", "application/json")
        .send(serde_json::to_string(&settings("tiny")).unwrap());
    assert_eq!(opened.unwrap().status(), 201);
    let log = BufReader::new(served.0.stderr.take().unwrap());
    let opened = log.lines().find_map(|line| {
        let line: Value = line.unwrap().parse().unwrap();
        (line["message"] == "room opened").then_some(line)
    });
    let opened = opened.unwrap();
    assert_eq!(
        (&opened["level"], &opened["title"]),
        (&"INFO".into(), &"Shards".into())
    );
}
