//! `lpfl task check` and `lpfl task list`.

use crate::folder::{Folder, TASK};

const CHECK: &str = "task check task.toml --model model";

#[test]
fn shipped_tasks_are_listed() {
    let output = Folder::new().lpfl("task list");
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = text.lines().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(
        names,
        [
            "reviews",
            "ratings",
            "stars",
            "news",
            "subjectivity",
            "questions"
        ]
    );
}

#[test]
fn a_file_is_checked_alone() {
    let folder = Folder::new();
    let report = folder.json("task check task.toml --json");
    assert_eq!(report["labels"][1]["words"][0]["word"], "great");
    for (from, to, expected) in [
        (
            "{mask} .",
            ".",
            "task.toml, line 2, patterns[0]: expected {text} and {mask}",
        ),
        (
            ": {text}",
            "{mask} {text}",
            "task.toml, line 2, patterns[1]: ",
        ),
        (
            "max_tokens = 32",
            "most_tokens = 32",
            "task.toml, line 3: unknown field `most_tokens`",
        ),
        (
            "\"positive\"",
            "\"negative\"",
            "task.toml, line 11, labels[1].name: ",
        ),
        (
            "[\"1\"]",
            "[\"0\"]",
            "task.toml, line 12, labels[1].aliases: ",
        ),
    ] {
        folder.write("task.toml", TASK.replacen(from, to, 1));
        let error = folder.failure("task check task.toml");
        assert!(error.contains(expected), "{error}");
    }
    folder.write("task.toml", b"name = \"\xff\"");
    let error = folder.failure("task check task.toml");
    assert!(
        error.contains("task.toml, line 1: expected UTF-8"),
        "{error}"
    );
}

#[test]
fn a_word_of_two_tokens_is_named_with_its_line() {
    let folder = Folder::new();
    folder.write("task.toml", TASK.replace("\"good\"", "\"goods\""));
    let error = folder.failure(CHECK);
    let expected = "task.toml, line 13, labels[1].words: expected words of one token each, \
                    got \"goods\", which splits into good ##s; choose another word";
    assert!(error.ends_with(expected), "{error}");
    let report = folder.lpfl(&format!("{CHECK} --data texts.csv"));
    let text = String::from_utf8(report.stdout).unwrap();
    assert!(text.contains("goods (splits into good ##s)"), "{text}");
    assert!(text.contains("separate its texts best"), "{text}");
}

#[test]
fn labelled_texts_give_words_and_accuracy() {
    let folder = Folder::new();
    let report = folder.json(&format!("{CHECK} --data texts.csv --json"));
    assert_eq!(report["texts"], 80);
    for label in report["labels"].as_array().unwrap() {
        let proposals = label["proposals"].as_array().unwrap();
        assert_eq!(proposals.len(), 10);
        let separation = |index: usize| proposals[index]["separation"].as_f64().unwrap();
        assert!(separation(0) >= separation(9));
    }
    let zero_shot = report["zero_shot"].as_array().unwrap();
    let how: Vec<&str> = zero_shot
        .iter()
        .map(|shot| shot["calibration"].as_str().unwrap())
        .collect();
    assert_eq!(how, ["none", "content_free", "unlabelled"]);
    let run = "evaluate --model model --task task.toml --data texts.csv";
    for (shot, flag) in zero_shot.iter().zip(["none", "content-free", "unlabelled"]) {
        let evaluated = folder.json(&format!("{run} --calibrate {flag}"));
        assert_eq!(shot["accuracy"], evaluated["accuracy"]);
    }
    let text = folder.lpfl(&format!("{CHECK} --data texts.csv")).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("untrained, calibrated on these texts"),
        "{text}"
    );
}

#[test]
fn texts_without_labels_propose_nothing() {
    let folder = Folder::new();
    folder.write("texts.csv", "text\nwarm food\n");
    let report = folder.json(&format!("{CHECK} --data texts.csv --json"));
    assert_eq!(report["zero_shot"].as_array().unwrap().len(), 0);
    assert_eq!(
        report["labels"][0]["proposals"].as_array().unwrap().len(),
        0
    );
}

#[test]
fn a_text_of_a_million_characters_is_read() {
    let folder = Folder::new();
    let long = "warm ".repeat(200_000);
    folder.write(
        "texts.csv",
        format!("text,label\n{long},1\n{}x,0\n", "x".repeat(1_000_000)),
    );
    for truncate in ["end", "start", "middle"] {
        folder.write("task.toml", format!("truncate = \"{truncate}\"\n{TASK}"));
        let report = folder.json(&format!("{CHECK} --data texts.csv --json"));
        assert_eq!(report["texts"], 2);
    }
}
