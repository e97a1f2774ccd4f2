//! A folder with a tiny model, a task and texts, and the binary run on them.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use learner::testing::toy_texts;
use serde_json::Value;
use tempfile::TempDir;

use crate::program;

/// Great or terrible, in words of the tiny model.
pub const TASK: &str = r#"name = "Toy"
patterns = ["{text} it was {mask} .", "very {mask} : {text}"]
max_tokens = 32

[[labels]]
name = "negative"
aliases = ["0"]
words = ["terrible"]

[[labels]]
name = "positive"
aliases = ["1"]
words = ["great", "good"]
"#;

/// The folder.
pub struct Folder(TempDir);

impl Folder {
    /// With `model`, `task.toml` and `texts.csv`: 80 texts, half of each label.
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        program::write(&folder.path("model"), &program::whole());
        folder.write("task.toml", TASK);
        let rows = toy_texts(80, 1).into_iter();
        let rows: String = rows
            .map(|(text, label)| format!("{text},{label}\n"))
            .collect();
        folder.write("texts.csv", format!("text,label\n{rows}"));
        folder
    }

    /// A file's path.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Writes a file.
    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(file), content).unwrap();
    }

    /// Runs `lpfl` in the folder, with these words, split at blanks.
    pub fn lpfl(&self, words: &str) -> Output {
        let words: Vec<&str> = words.split(' ').collect();
        program::lpfl(&words)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// The one JSON object that a run prints, which must succeed.
    pub fn json(&self, words: &str) -> Value {
        let output = self.lpfl(words);
        assert!(output.status.success(), "{words}: {}", errors(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The one line with which a run fails.
    pub fn failure(&self, words: &str) -> String {
        let output = self.lpfl(words);
        let errors = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{words}: {errors}");
        let mut lines = errors.lines().filter(|line| !line.contains("left out"));
        let line = lines.next().unwrap_or_default().to_owned();
        assert_eq!(lines.next(), None, "{errors}");
        assert!(line.starts_with("lpfl: "), "{line}");
        line
    }
}

/// What a run wrote to standard error.
pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
