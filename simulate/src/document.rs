//! A TOML file as text, so that errors can name the line of a key.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::error::{Result, SimulateError};

/// Most bytes of a file.
const MOST_BYTES: u64 = 1 << 20;

/// A file of settings.
#[derive(Clone, Debug)]
pub struct Document {
    name: String,
    text: String,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// One line with the file, and the line in it where there is one.
    pub fn open(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too long, however long it is.
        let read =
            File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|error| SimulateError::file(path, error))?;
        Self::new(&path.display().to_string(), &bytes)
    }

    /// A file's content.
    ///
    /// # Errors
    /// Bytes that are no text, and more of them than a file of settings has.
    pub fn new(name: &str, bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > MOST_BYTES {
            let message = format!("expected a file of at most {MOST_BYTES} bytes, got more");
            return Err(SimulateError::setting(name, message));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = line_of(bytes, error.valid_up_to());
            let place = format!("{name}, line {line}");
            SimulateError::setting(place, "expected UTF-8, got other bytes")
        })?;
        Ok(Self {
            name: name.into(),
            text: text.strip_prefix('\u{feff}').unwrap_or(text).into(),
        })
    }

    /// The file, as errors name it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its content as a `T`.
    ///
    /// # Errors
    /// The first thing that does not fit, with file and line.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(&self.text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = line_of(self.text.as_bytes(), start);
            let place = format!("{}, line {line}", self.name);
            SimulateError::setting(place, one_line(error.message()))
        })
    }

    /// File, line where there is one, and key, of a key such as `labels[1].words`.
    pub fn place(&self, key: &str) -> String {
        match self.line(key) {
            Some(line) => format!("{}, line {line}, {key}", self.name),
            None => format!("{}, {key}", self.name),
        }
    }

    /// The line of a key, or of the nearest thing around it that the file has.
    fn line(&self, key: &str) -> Option<usize> {
        let table = DeTable::parse(&self.text).ok()?;
        let mut steps = key.split(['.', '[']).map(|step| step.trim_end_matches(']'));
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

/// A message of the parser without its line ends.
pub(crate) fn one_line(message: &str) -> String {
    // The parser's own word for a choice with its settings.
    let message = message.replace(
        "internally tagged enum",
        "a table such as { by = \"…\" } for",
    );
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ")
}

/// The line of a byte, counted from 1.
fn line_of(bytes: &[u8], place: usize) -> usize {
    let before = &bytes[..place.min(bytes.len())];
    before.iter().filter(|&&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = \"x\"\n[training]\nepochs = 3\n\n[[labels]]\nwords = [\"a\"]\n";

    #[test]
    fn a_key_is_found_by_its_line_or_the_nearest() {
        let document = Document::new("my.toml", TEXT.as_bytes()).unwrap();
        assert_eq!(
            document.place("training.epochs"),
            "my.toml, line 3, training.epochs"
        );
        assert_eq!(
            document.place("labels[0].words"),
            "my.toml, line 6, labels[0].words"
        );
        assert!(
            document
                .place("training.beta1")
                .starts_with("my.toml, line 2")
        );
        assert_eq!(document.place("rounds"), "my.toml, rounds");
    }

    #[test]
    fn bytes_that_are_no_text_are_named_by_line() {
        let error = Document::new("my.toml", b"a = 1\n\xff")
            .unwrap_err()
            .to_string();
        assert_eq!(error, "my.toml, line 2: expected UTF-8, got other bytes");
        let long = Document::new("my.toml", &vec![b'#'; 2 << 20]).unwrap_err();
        assert!(long.to_string().contains("at most 1048576 bytes"));
    }

    #[test]
    fn what_does_not_fit_is_named_by_line() {
        let document = Document::new("my.toml", b"a = 1\nb = [\n").unwrap();
        let error = document.parse::<toml::Table>().unwrap_err().to_string();
        assert!(error.starts_with("my.toml, line "), "{error}");
        assert_eq!(error.lines().count(), 1);
    }
}
