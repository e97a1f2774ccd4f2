//! `lpfl simulate`.

mod refusals;

use std::fs;
use std::time::{Duration, Instant};

use learner::testing::toy_texts;
use serde_json::Value;

use crate::folder::{Folder, errors};
use crate::program;

const FILE: &str = r#"data = { train = "texts.csv", test = "test.csv", name = "toys" }
model = "model"
task = "task.toml"
clients = 3
rounds = 3
seeds = [0, 1]
deal = { gold = 4, unlabelled = 8 }
training = { epochs = 1, batch_size = 4 }
lora = { rank = 2, alpha = 4.0 }
"#;

const METHODS: [&str; 5] = ["lp-fl", "fp-fl", "local", "centralised", "zero-shot"];

fn folder() -> Folder {
    let folder = Folder::new();
    let rows = toy_texts(40, 2).into_iter();
    let rows: String = rows
        .map(|(text, label)| format!("{text},{label}\n"))
        .collect();
    folder.write("test.csv", format!("text,label\n{rows}"));
    folder.write("few.toml", FILE);
    folder
}

fn done(folder: &Folder, words: &str) -> String {
    let output = folder.lpfl(words);
    assert!(output.status.success(), "{words}: {}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn text(folder: &Folder, file: &str) -> String {
    fs::read_to_string(folder.path(file)).unwrap()
}

/// The results without the time that they took, which is never the same.
fn results(folder: &Folder, out: &str) -> Value {
    fn forget_time(value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.remove("wall_ms");
                map.values_mut().for_each(forget_time);
            }
            Value::Array(items) => items.iter_mut().for_each(forget_time),
            _ => {}
        }
    }
    let mut results = serde_json::from_str(&text(folder, &format!("{out}/results.json"))).unwrap();
    forget_time(&mut results);
    results
}

#[test]
fn every_method_leaves_its_results() {
    let folder = folder();
    let methods = METHODS.join(",");
    let run = format!("simulate few.toml --sweep method={methods} --out out --summary all.csv");
    let printed = done(&folder, &run);
    for method in METHODS {
        assert!(printed.contains(&format!("| {method} | 0.")), "{printed}");
    }
    assert_eq!(
        printed.replace("out/report.html\n", ""),
        text(&folder, "out/report.md")
    );
    let plot = text(&folder, "out/plots/accuracy.svg");
    assert!(plot.starts_with("<svg xmlns") && plot.contains(">zero-shot</text>"));
    let summary = text(&folder, "out/summary.csv");
    let mut rows = summary.lines();
    assert_eq!(
        rows.next(),
        Some(
            "experiment,data,method,soft_labels,partition,gold_per_client,seed,accuracy,macro_f1,\
             upload_bytes"
        )
    );
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(',').collect()).collect();
    assert_eq!(rows.len(), 10);
    for (row, method) in rows
        .iter()
        .zip(METHODS.iter().flat_map(|method| [method; 2]))
    {
        assert_eq!(
            row[..4],
            [
                "few/method=".to_owned() + method,
                "toys".into(),
                (*method).into(),
                if *method == "zero-shot" { "off" } else { "on" }.to_owned()
            ]
        );
        assert!((0.0..=1.0).contains(&row[7].parse::<f32>().unwrap()));
    }
    let bytes = |row: usize| rows[row][9].parse::<u64>().unwrap();
    assert!(bytes(2) > 10 * bytes(0), "{} {}", bytes(2), bytes(0));
    assert_eq!((bytes(4), bytes(6), bytes(8)), (0, 0, 0));
    // Running it again runs nothing and adds nothing, and only its own plots stay.
    let stale = folder.path("out/plots/of-another-run.svg");
    fs::write(&stale, "").unwrap();
    done(&folder, &run);
    assert!(!stale.exists());
    assert_eq!(text(&folder, "out/summary.csv"), summary);
    assert_eq!(text(&folder, "all.csv"), summary);
    for point in METHODS {
        let out = format!("out/method={point}");
        assert_eq!(
            results(&folder, &out)["points"].as_array().unwrap().len(),
            1
        );
        assert!(text(&folder, &format!("{out}/rounds.csv")).starts_with("method,seed,round,"));
    }
    let report = text(&folder, "out/report.html");
    assert!(report.contains("<svg") && report.contains("prefers-color-scheme: dark"));
    assert!(!report.contains("http"), "a report loads nothing");
    let rounds = text(&folder, "out/rounds.csv");
    assert_eq!(rounds.lines().count(), 1 + 2 * (4 * 4 + 1));
    let soft = &results(&folder, "out")["points"][0]["runs"][0]["rounds"][3]["soft_labels"];
    assert_eq!(
        (&soft["count"], &soft["coverage"]),
        (&6.into(), &0.25.into())
    );
}

#[test]
fn a_run_that_was_interrupted_ends_as_if_it_was_not() {
    let folder = folder();
    let world = FILE
        .replace("rounds = 3", "rounds = 40")
        .replace("[0, 1]", "[0]");
    let world = format!(
        "{world}dropouts = {{ before = 0.3, during = 0.2 }}\nstragglers.sigma = 1.0\n\
         round = {{ deadline_seconds = 60 }}\n"
    );
    for (method, out) in [("lp-fl", "a"), ("local", "b")] {
        folder.write("few.toml", format!("method = \"{method}\"\n{world}"));
        done(&folder, &format!("simulate few.toml --out {out}-whole"));
        let mut command = program::lpfl(&["simulate", "few.toml", "--out", out]);
        let mut child = command.current_dir(folder.path(".")).spawn().unwrap();
        let state = folder.path(&format!("{out}/runs/seed-0.checkpoint"));
        let started = Instant::now();
        while !state.exists() && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(state.exists() && !folder.path(&format!("{out}/results.json")).exists());
        let other = folder.failure(&format!("simulate few.toml --set lora.rank=3 --out {out}"));
        assert!(
            other.contains("holds a run with lora.rank = 2, which is now 3"),
            "{other}"
        );
        done(&folder, &format!("simulate few.toml --out {out}"));
        assert_eq!(
            results(&folder, out),
            results(&folder, &format!("{out}-whole"))
        );
        assert!(!state.exists());
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = folder();
    for method in ["lp-fl", "local"] {
        let run = format!("simulate few.toml --set method={method}");
        done(&folder, &format!("{run} --threads 1 --out {method}-1"));
        done(&folder, &format!("{run} --threads 3 --out {method}-3"));
        let [one, three] = [1, 3].map(|threads| results(&folder, &format!("{method}-{threads}")));
        assert_eq!(one, three);
    }
}

#[test]
fn wrong_labels_and_attacks_change_what_is_learned() {
    let folder = folder();
    let hash = |set: &str| {
        let run = format!(
            "simulate few.toml --set seeds=[0] --set {set} --out {}",
            set.len()
        );
        done(&folder, &run);
        let results = results(&folder, &set.len().to_string());
        let run = &results["points"][0]["runs"][0];
        (
            run["hashes"].clone(),
            run["rounds"][3]["soft_labels"]["precision"].as_f64(),
        )
    };
    let plain = hash("rounds=3");
    let wrong = hash("soft_labels.noise=1.0");
    let right = |hash: &(Value, Option<f64>)| hash.1.unwrap();
    assert!((right(&plain) + right(&wrong) - 1.0).abs() < 0.5);
    let flipped = hash("attackers.count=2");
    let scaled = hash("attackers={count=1,attack={by=\"scaled_update\",factor=-3.0}}");
    let hashes = [plain.0, wrong.0, flipped.0, scaled.0];
    assert!(
        (1..4).all(|index| !hashes[..index].contains(&hashes[index])),
        "{hashes:?}"
    );
}

#[test]
fn every_rule_and_compression_runs() {
    let folder = folder();
    let world = FILE
        .replace("clients = 3", "clients = 5")
        .replace("[0, 1]", "[0]");
    folder.write(
        "few.toml",
        format!("{world}aggregation.measure_error = \"each_round\"\n"),
    );
    let rules = [
        "fedavg",
        "fedex_lora",
        "flora",
        "ffa_lora",
        "rolora",
        "flexlora",
        "hetlora",
        "median",
    ];
    let values = rules.map(|rule| format!("{{by=\"{rule}\"}}")).join(",");
    let krum = "{by=\"krum\",attackers=1},{by=\"trimmed_mean\",share=0.2}";
    let run = "simulate few.toml";
    done(
        &folder,
        &format!("{run} --sweep aggregation.rule={values},{krum} --out rules"),
    );
    let all = results(&folder, "rules");
    let point = |index: usize| &all["points"][index]["runs"][0]["rounds"][3];
    let error = |index: usize| point(index)["relative_aggregation_error"].as_f64().unwrap();
    assert!(error(0) > 1e-4, "{}", error(0));
    assert!(
        error(1) < 1e-5 && error(2) < 1e-5,
        "{} {}",
        error(1),
        error(2)
    );
    let bytes = |index: usize| point(index)["update_bytes"].as_u64().unwrap();
    assert!(bytes(3) < bytes(0) && bytes(4) < bytes(0));

    let mixed = "{by=\"flora\"},{by=\"flexlora\"},{by=\"hetlora\"}";
    let run = format!("{run} --set ranks=[1,2]");
    done(
        &folder,
        &format!("{run} --sweep aggregation.rule={mixed} --out ranks"),
    );
    let refused = folder.failure(&format!("{run} --out no"));
    assert!(
        refused.contains("aggregation.rule: expected flora, flexlora or hetlora"),
        "{refused}"
    );

    let ways = "{by=\"f32\"},{by=\"f16\"},{by=\"int8\"},{by=\"top_k\",share=0.1}";
    let run = "simulate few.toml --set method=fp-fl --set aggregation.measure_error=off";
    done(
        &folder,
        &format!("{run} --sweep compression={ways} --out ways"),
    );
    let all = results(&folder, "ways");
    let bytes = |index: usize| {
        let round = &all["points"][index]["runs"][0]["rounds"][3];
        round["update_bytes"].as_u64().unwrap()
    };
    assert!(bytes(0) > bytes(1) && bytes(1) > bytes(2) && bytes(2) > bytes(3));
}

#[test]
fn texts_can_be_dealt_by_a_column() {
    let folder = folder();
    let rows = toy_texts(40, 3).into_iter().enumerate();
    let rows: String = rows
        .map(|(index, (text, label))| format!("{text},{label},{}\n", ["food", "film"][index / 20]))
        .collect();
    folder.write("texts.csv", format!("text,label,domain\n{rows}"));
    let run = "simulate few.toml --set deal.partition={by=\"column\",column=\"domain\"}";
    done(&folder, &format!("{run} --out out"));
    assert!(text(&folder, "out/summary.csv").contains(",column domain,"));
    let error = folder.failure(&format!("{} --out no", run.replace("domain", "year")));
    assert!(
        error.contains("deal.partition.column: ") && error.contains("year"),
        "{error}"
    );
}
