//! Files of texts: rows are clean and stand on their lines, and are the same when written anew.

use std::collections::BTreeMap;

use fl_core::task::Task;
use learner::texts::{self, Format, MOST_PROBLEMS, Row, Texts};
use serde_json::json;

use crate::memory::bounded;

/// Bytes that a file may take for each of its own: a small value of JSON is a large one of Rust.
const EACH: usize = 512;
/// Most bytes of the description of a bad row.
const DESCRIPTION: usize = 1000;

/// One text a row or two, and a file.
pub fn any(bytes: &[u8]) {
    let Some((&columns, file)) = bytes.split_first() else {
        return;
    };
    let task = task(columns);
    let read = bounded(file.len(), EACH, || texts::read(file, &task));
    let texts = match read {
        Ok(texts) => texts,
        Err(error) => {
            let message = error.to_string();
            assert_eq!(message.lines().count(), 1, "{message}");
            return;
        }
    };
    check(&texts, file, &task);
    check_column(&texts, file, &task);
    check_again(&texts, &task);
}

fn task(columns: u8) -> Task {
    let mut task = Task::reviews();
    task.labels[0].aliases = vec!["0".into()];
    task.labels[1].aliases = vec!["1".into(), "true".into()];
    if columns % 2 == 1 {
        task.text_columns.push("second".into());
        task.patterns = vec!["{text} and {text_2} : {mask}".into()];
    }
    task.check().unwrap();
    task
}

fn check(texts: &Texts, file: &[u8], task: &Task) {
    let breaks = |&&byte: &&u8| byte == b'\n' || byte == b'\r';
    let lines = file.iter().filter(breaks).count() as u64 + 1;
    let mut last = 0;
    for row in &texts.rows {
        assert!(
            row.line > last && row.line <= lines,
            "line {} after {last}",
            row.line
        );
        last = row.line;
        assert_eq!(row.texts().count(), task.text_columns.len());
        for text in row.texts() {
            assert!(!text.is_empty() && text == text.trim(), "{text:?}");
        }
        assert!(row.label.is_none_or(|label| label < task.labels.len()));
    }
    assert!(texts.problems.len() <= MOST_PROBLEMS);
    assert!(texts.more_problems == 0 || texts.problems.len() == MOST_PROBLEMS);
    let mut last = 0;
    for problem in &texts.problems {
        assert!(problem.line >= last && problem.line <= lines);
        last = problem.line;
        let message = &problem.message;
        assert!(
            message.len() <= DESCRIPTION && message.lines().count() <= 1,
            "{message}"
        );
    }
}

/// The reader of single columns finds each row's text on the row's line.
fn check_column(texts: &Texts, file: &[u8], task: &Task) {
    let column = texts::column(file, &task.text_columns[0]);
    let values: BTreeMap<u64, String> = match (column, texts.rows.is_empty()) {
        (Ok(values), _) => values,
        (Err(_), true) => return,
        (Err(error), false) => panic!("{error}"),
    };
    for row in &texts.rows {
        let found = values.get(&row.line).map(|value| value.trim());
        assert_eq!(found, Some(row.text.as_str()), "line {}", row.line);
    }
}

/// The rows, written as JSONL, are the same rows.
fn check_again(texts: &Texts, task: &Task) {
    let line = |row: &Row| {
        let label = row.label.map(|label| task.labels[label].name.clone());
        let mut object = json!({ "text": row.text, "label": label });
        if let Some(second) = &row.second {
            object["second"] = json!(second);
        }
        format!("{object}\n")
    };
    let written: String = texts.rows.iter().map(line).collect();
    if written.is_empty() {
        return;
    }
    let again = texts::read(written.as_bytes(), task).unwrap();
    assert_eq!((again.format, again.problems.len()), (Format::Jsonl, 0));
    let content = |row: &Row| (row.text.clone(), row.second.clone(), row.label);
    let (one, other): (Vec<_>, Vec<_>) = (
        texts.rows.iter().map(content).collect(),
        again.rows.iter().map(content).collect(),
    );
    assert_eq!(one, other);
}
