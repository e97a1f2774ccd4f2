//! Task files: an error is one line that names the file; a task that passes can be written and read.

use fl_core::task::Task;
use simulate::Document;

use crate::memory::bounded;

/// Bytes that a file may take for each of its own.
const EACH: usize = 1024;
const NAME: &str = "my.toml";

/// Any bytes.
pub fn any(bytes: &[u8]) {
    bounded(bytes.len(), EACH, || read(bytes));
}

fn read(bytes: &[u8]) {
    let document = match Document::new(NAME, bytes) {
        Ok(document) => document,
        Err(error) => return assert_one_line(&error.to_string()),
    };
    let task = match document.parse::<Task>() {
        Ok(task) => task,
        Err(error) => return assert_one_line(&error.to_string()),
    };
    if let Err(error) = task.check() {
        let field = error.field.strip_prefix("task.").unwrap_or(&error.field);
        let place = document.place(field);
        return assert_one_line(&format!(
            "{place}: expected {}, got {}",
            error.expected, error.got
        ));
    }
    assert_eq!(task.pieces().unwrap().len(), task.patterns.len());
    for (index, label) in task.labels.iter().enumerate() {
        for spelling in label.aliases.iter().chain([&label.name]) {
            assert_eq!(task.label_index(spelling), Some(index), "{spelling:?}");
        }
    }
    let written = toml::to_string(&task).unwrap();
    let again = Document::new(NAME, written.as_bytes()).unwrap();
    assert_eq!(again.parse::<Task>().unwrap(), task, "{written}");
    let written = serde_json::to_string(&task).unwrap();
    assert_eq!(serde_json::from_str::<Task>(&written).unwrap(), task);
}

fn assert_one_line(message: &str) {
    assert!(message.starts_with(NAME), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}
