//! Reads a task file (TOML), with errors that name the file, the line and the field.

use std::path::Path;

use anyhow::{Result, anyhow};
use fl_core::error::SettingsError;
use fl_core::task::Task;
use simulate::{Document, SimulateError};

use super::shipped;

/// A task and the file that it was read from.
#[derive(Debug)]
pub struct TaskFile {
    /// The task, checked.
    pub task: Task,
    document: Document,
}

impl TaskFile {
    /// Reads a file, or the shipped task of this name where no such file is there.
    ///
    /// # Errors
    /// One line with the file, the line in it, the field, what was expected and what was got.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        if let (false, Some(text)) = (path.exists(), shipped::find(&name)) {
            return Self::parse(&name, text.as_bytes());
        }
        Self::of(Document::open(path).map_err(|error| match error {
            SimulateError::File { .. } => {
                let shipped = shipped::TASKS.map(|(name, _)| name).join(", ");
                anyhow!("{error}; name a task file, or one of {shipped}")
            }
            error => error.into(),
        })?)
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        Self::of(Document::new(name, bytes)?)
    }

    fn of(document: Document) -> Result<Self> {
        let task: Task = document.parse()?;
        let file = Self { task, document };
        file.task.check().map_err(|error| file.wrong(&error))?;
        Ok(file)
    }

    /// The file, as errors name it.
    pub fn name(&self) -> &str {
        self.document.name()
    }

    /// The error of a setting, told by its place in this file.
    fn wrong(&self, error: &SettingsError) -> anyhow::Error {
        let SettingsError {
            field,
            expected,
            got,
        } = error;
        anyhow!("{}: expected {expected}, got {got}", self.place(field))
    }

    /// File, line where there is one, and field, of a field such as `task.labels[1].words`.
    pub fn place(&self, field: &str) -> String {
        let field = field.strip_prefix("task.").unwrap_or(field);
        self.document.place(field)
    }
}

#[cfg(test)]
mod tests {
    use fl_core::task::{Calibration, Truncate};
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"name = "Reviews"
patterns = ["{text} it was {mask} ."]

[[labels]]
name = "negative"
words = ["terrible"]

[[labels]]
name = "positive"
words = ["great"]
"#;

    fn error(bytes: impl AsRef<[u8]>) -> String {
        let error = TaskFile::parse("my.toml", bytes.as_ref()).unwrap_err();
        let message = format!("{error:#}");
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    }

    #[test]
    fn a_file_is_a_task() {
        let task = TaskFile::parse("my.toml", GOOD.as_bytes()).unwrap().task;
        assert_eq!(task, Task::reviews());
        let more = format!("truncate = \"middle\"\ncalibration = \"content_free\"\n{GOOD}");
        let task = TaskFile::parse("my.toml", more.as_bytes()).unwrap().task;
        assert_eq!(task.truncate, Truncate::Middle);
        assert_eq!(task.calibration, Calibration::ContentFree);
    }

    #[test]
    fn errors_name_file_line_and_field() {
        for (from, to, expected) in [
            (
                "it was {mask} .",
                "it was",
                "my.toml, line 2, patterns[0]: expected {text} and {mask}, once each",
            ),
            (
                "it was {mask} .",
                "{mask} or {mask}",
                "my.toml, line 2, patterns[0]: ",
            ),
            (
                "\"positive\"",
                "\"negative\"",
                "my.toml, line 9, labels[1].name: expected label names and aliases that differ, got negative",
            ),
            (
                "[\"great\"]",
                "[]",
                "my.toml, line 10, labels[1].words: expected 1 to 64, got 0",
            ),
            ("[\"great\"]", "\"great\"", "my.toml, line 10: "),
            (
                "patterns",
                "pattern",
                "my.toml, line 2: unknown field `pattern`, expected one of ",
            ),
            ("name = \"Reviews\"", "max_tokens = -1", "my.toml, line 1: "),
            ("name = \"Reviews\"", "", "missing field `name`"),
            ("[[labels]]", "[[labels]", "my.toml, line 4: "),
        ] {
            let message = error(GOOD.replacen(from, to, 1));
            assert!(message.contains(expected), "{to}: {message}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named_by_line() {
        let bytes = [GOOD.as_bytes(), b"# \xff\n"].concat();
        assert_eq!(
            error(bytes),
            "my.toml, line 11: expected UTF-8, got other bytes"
        );
        assert!(error(vec![b'#'; 2 << 20]).contains("at most 1048576 bytes"));
        assert!(error("").contains("missing field"));
    }

    #[test]
    fn a_shipped_name_stands_for_its_file() {
        let stars = TaskFile::open(Path::new("stars")).unwrap();
        assert_eq!(stars.task.labels.len(), 5);
        let missing = TaskFile::open(Path::new("missing.toml"))
            .unwrap_err()
            .to_string();
        assert!(missing.starts_with("missing.toml: "), "{missing}");
        assert!(
            missing.contains("reviews, ratings, stars, news"),
            "{missing}"
        );
        assert!(TaskFile::open(Path::new(env!("CARGO_MANIFEST_DIR"))).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = TaskFile::parse("my.toml", &bytes);
        }

        #[test]
        fn no_change_of_a_task_file_makes_a_panic(
            place in 0usize..GOOD.len(), length in 0usize..30, new in r#"(\{text\}|\{mask\}|[\PC\n"\[\]=]){0,8}"#,
        ) {
            let end = (place + length).min(GOOD.len());
            let text = format!("{}{new}{}", &GOOD[..place], &GOOD[end..]);
            match TaskFile::parse("my.toml", text.as_bytes()) {
                Ok(file) => file.task.check().unwrap(),
                Err(error) => {
                    let message = error.to_string();
                    prop_assert!(message.starts_with("my.toml, "), "{}", message);
                    prop_assert_eq!(message.lines().count(), 1);
                }
            }
        }
    }
}
