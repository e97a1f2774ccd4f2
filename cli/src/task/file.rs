//! Reads a task file (TOML), with errors that name the file, the line and the field.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Result, anyhow};
use fl_core::error::SettingsError;
use fl_core::task::Task;
use toml::de::{DeTable, DeValue};

use super::shipped;

/// Most bytes of a task file.
const MOST_BYTES: u64 = 1 << 20;

/// A task and the file that it was read from.
#[derive(Debug)]
pub struct TaskFile {
    /// The task, checked.
    pub task: Task,
    name: String,
    text: String,
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
        let bytes = read(path).map_err(|error| {
            let shipped = shipped::TASKS.map(|(name, _)| name).join(", ");
            anyhow!("{name}: {error}; name a task file, or one of {shipped}")
        })?;
        Self::parse(&name, &bytes)
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > MOST_BYTES {
            return Err(anyhow!(
                "{name}: expected a task file of at most {MOST_BYTES} bytes, got more"
            ));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = line_of(bytes, error.valid_up_to());
            anyhow!("{name}, line {line}: expected UTF-8, got other bytes")
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let task: Task = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = line_of(text.as_bytes(), start);
            let words: Vec<&str> = error.message().split_whitespace().collect();
            anyhow!("{name}, line {line}: {}", words.join(" "))
        })?;
        let file = Self {
            task,
            name: name.into(),
            text: text.into(),
        };
        file.task.check().map_err(|error| file.wrong(&error))?;
        Ok(file)
    }

    /// The file, as errors name it.
    pub fn name(&self) -> &str {
        &self.name
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
        match self.line(field) {
            Some(line) => format!("{}, line {line}, {field}", self.name),
            None => format!("{}, {field}", self.name),
        }
    }

    /// The line of a field, or of the nearest thing around it that the file has.
    fn line(&self, field: &str) -> Option<usize> {
        let table = DeTable::parse(&self.text).ok()?;
        let mut steps = field
            .split(['.', '['])
            .map(|step| step.trim_end_matches(']'));
        let mut found = table.get_ref().get(steps.next()?)?;
        for step in steps {
            let inner = match (found.get_ref(), step.parse::<usize>()) {
                (DeValue::Array(items), Ok(index)) => items.get(index),
                (DeValue::Table(table), _) => table.get(step),
                _ => None,
            };
            let Some(inner) = inner else { break };
            found = inner;
        }
        Some(line_of(self.text.as_bytes(), found.span().start))
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too long, however long it is.
    File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The line of a byte, counted from 1.
fn line_of(bytes: &[u8], place: usize) -> usize {
    let before = &bytes[..place.min(bytes.len())];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
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
