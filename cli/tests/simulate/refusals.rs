//! What `lpfl simulate` refuses, before anything starts and without a loss.

use std::fs;

use super::{FILE, done, folder, results, text};

#[test]
fn what_is_wrong_is_told_before_anything_starts() {
    let folder = folder();
    for (from, to, expected) in [
        (
            "clients = 3",
            "clientz = 3",
            "few.toml, line 4: unknown field `clientz`",
        ),
        (
            "clients = 3",
            "clients = 0",
            "few.toml, line 4, clients: expected 1 to 100000, got 0",
        ),
        (
            "clients = 3",
            "clients = 30",
            "few.toml, line 4, clients: expected clients for the 80",
        ),
        (
            "texts.csv",
            "missing.csv",
            "few.toml, line 1, data.train: missing.csv: name a CSV, TSV or JSONL file of texts",
        ),
        (
            "\"model\"",
            "\"nowhere\"",
            "few.toml, line 2, model: nowhere: expected a directory",
        ),
        (
            "\"task.toml\"",
            "\"nothing\"",
            "few.toml, line 3, task.from: nothing: ",
        ),
        (
            "\"task.toml\"",
            "{ from = \"task.toml\", label_column = \"lable\" }",
            "few.toml, line 1, data.train: expected training texts with one of the task's labels in \
             the column \"lable\", got none",
        ),
        (
            "rank = 2",
            "top_layers = 9, rank = 2",
            "few.toml, line 9, lora.top_layers: LoRA top layers: expected ",
        ),
        (
            "clients = 3",
            "clients = 3\naggregation.rule = { by = \"krum\", attackers = 1 }",
            "few.toml, line 5, aggregation.rule: expected a rule for the 3 updates",
        ),
        (
            "clients = 3\nrounds = 3\nseeds = [0, 1]\ndeal = { gold = 4, unlabelled = 8 }",
            "clients = 30\nmethod = \"fp-fl\"\ndeal = { gold = 1, unlabelled = 1 }\n\
             aggregation = { rule = { by = \"median\" }, memory_mib = 1 }",
            "few.toml, line 7, aggregation.memory_mib: expected at least ",
        ),
        (
            "rank = 2",
            "rank = 0",
            "few.toml, line 9, lora.rank: expected 1 to 256, got 0",
        ),
        (
            "data = { train = \"texts.csv\", ",
            "data = { ",
            "expected a bundled corpus, or train and test",
        ),
        (
            "task = \"task.toml\"",
            "task = { from = \"task.toml\", max_tokens = 1 }",
            "few.toml, line 3, task.max_tokens: expected 8 to 8192, got 1",
        ),
    ] {
        folder.write("few.toml", FILE.replacen(from, to, 1));
        let error = folder.failure("simulate few.toml --out out");
        assert!(error.contains(expected), "{to}: {error}");
    }
    folder.write("few.toml", FILE);
    folder.write(
        "task.toml",
        crate::folder::TASK.replace("great", "greatest"),
    );
    let error = folder.failure("simulate few.toml --out out");
    let expected = "few.toml, line 3, task: label positive: expected a word of one token";
    assert!(error.contains(expected), "{error}");
    assert!(!folder.path("out").exists());
    let labels = "[{name=\"bad\",words=[\"good\"]},{name=\"positive\",words=[\"great\"]}]";
    let error = folder.failure(&format!(
        "simulate few.toml --set data=reviews --set task.labels={labels} --out out"
    ));
    let expected = "task: expected a task for the texts of reviews, but line ";
    assert!(error.contains(expected), "{error}");
    let usage = folder.lpfl("simulate few.toml");
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn nothing_is_lost_that_was_there_before() {
    let folder = folder();
    let run = "simulate few.toml --set method=zero-shot";
    // Files of somebody else.
    fs::create_dir_all(folder.path("mine/plots")).unwrap();
    folder.write("mine/report.md", "my report");
    folder.write("mine/plots/fig1.svg", "my figure");
    let error = folder.failure(&format!("{run} --out mine"));
    assert!(
        error.contains("mine/report.md: no experiment wrote this; name another --out"),
        "{error}"
    );
    assert_eq!(text(&folder, "mine/report.md"), "my report");
    assert_eq!(text(&folder, "mine/plots/fig1.svg"), "my figure");
    // A table that is no summary.
    folder.write("table.csv", "a,b\n1,2\n");
    for (summary, expected) in [
        (
            "table.csv",
            "--summary: table.csv: expected a summary with the header experiment,",
        ),
        (
            "nowhere/all.csv",
            "--summary: nowhere: expected a folder for the summary",
        ),
    ] {
        let error = folder.failure(&format!("{run} --out out --summary {summary}"));
        assert!(error.contains(expected), "{error}");
        assert!(!folder.path("out").exists());
    }
    // Runs of other settings, of another seed, and of another model.
    done(&folder, &format!("{run} --out out"));
    let before = results(&folder, "out");
    let error = folder.failure(&format!("{run} --out out --set seeds=[7] --set clients=2"));
    assert!(
        error.contains("holds a run with clients = 3, which is now 2"),
        "{error}"
    );
    let weights = folder.path("model/tokenizer.json");
    let mut content = fs::read(&weights).unwrap();
    content.push(b'\n');
    fs::write(&weights, &content).unwrap();
    let error = folder.failure(&format!("{run} --out out"));
    assert!(
        error.contains("holds a run with model_digest = "),
        "{error}"
    );
    assert_eq!(results(&folder, "out"), before);
    content.pop();
    fs::write(&weights, &content).unwrap();
    folder.write("out/runs/seed-1.json", "{}");
    let error = folder.failure(&format!("{run} --out out"));
    assert!(
        error.contains("seed-1.json: expected a run's figures") && error.contains("delete it"),
        "{error}"
    );
    // A summary behind a link.
    #[cfg(unix)]
    {
        folder.write("real.csv", text(&folder, "out/summary.csv"));
        std::os::unix::fs::symlink("real.csv", folder.path("link.csv")).unwrap();
        done(
            &folder,
            &format!("{run} --set seeds=[3] --out other --summary link.csv"),
        );
        assert_eq!(text(&folder, "real.csv").lines().count(), 4);
    }
}
