//! Reads texts and their labels from CSV, TSV or JSONL.

use fl_core::task::Task;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Result;
use crate::error::LearnerError;

/// Most bytes that are read.
pub const MOST_BYTES: usize = 64 << 20;

/// Most bad rows that are described; the others are counted.
pub const MOST_PROBLEMS: usize = 20;

/// Most columns and characters that an error or problem quotes from a file.
const QUOTED: usize = 40;

/// A text of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The line it starts on, counted from 1.
    pub line: u64,
    /// The text, without blanks around it; never empty.
    pub text: String,
    /// Its label's position in the task, where it has one.
    pub label: Option<usize>,
}

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line it starts on, counted from 1.
    pub line: u64,
    /// What was expected there and what was got.
    pub message: String,
}

/// How a file is written, as found by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Commas (or semicolons, as spreadsheets write them in much of Europe) between the columns.
    Csv,
    /// Tabs between the columns.
    Tsv,
    /// A JSON object on every line.
    Jsonl,
}

/// The texts of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Texts {
    /// How the file is written.
    pub format: Format,
    /// The good rows, in the file's order.
    pub rows: Vec<Row>,
    /// The first [`MOST_PROBLEMS`] bad rows.
    pub problems: Vec<Problem>,
    /// Bad rows after those.
    pub more_problems: usize,
}

/// The columns that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns<'a> {
    /// The column of texts, which must be there.
    pub text: &'a str,
    /// The column of labels; a file without it, or a row with nothing in it, is unlabelled.
    pub label: &'a str,
}

impl Default for Columns<'_> {
    fn default() -> Self {
        Self {
            text: "text",
            label: "label",
        }
    }
}

/// Reads the columns `text` and `label`; labels are those of `task`.
///
/// # Errors
/// A file above [`MOST_BYTES`], an empty one, or one without the column of texts. Single bad rows
/// are no error: they are left out and described in [`Texts::problems`].
pub fn read(bytes: &[u8], task: &Task) -> Result<Texts> {
    read_columns(bytes, task, Columns::default())
}

/// Reads columns of other names.
///
/// # Errors
/// As [`read`].
pub fn read_columns(bytes: &[u8], task: &Task, columns: Columns<'_>) -> Result<Texts> {
    if bytes.len() > MOST_BYTES {
        return Err(LearnerError::TextsSize {
            limit: MOST_BYTES,
            got: bytes.len(),
        });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Some(start) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) else {
        return Err(LearnerError::TextsEmpty {
            column: columns.text.into(),
        });
    };
    let (format, delimiter) = sniff(&bytes[start..]);
    let mut reader = Reader {
        task,
        columns,
        texts: Texts {
            format,
            rows: Vec::new(),
            problems: Vec::new(),
            more_problems: 0,
        },
    };
    match format {
        Format::Jsonl => reader.jsonl(bytes)?,
        Format::Csv | Format::Tsv => reader.table(bytes, delimiter)?,
    }
    Ok(reader.texts)
}

/// By the first line: an object, or the separator that stands in it most often.
fn sniff(bytes: &[u8]) -> (Format, u8) {
    if bytes[0] == b'{' {
        return (Format::Jsonl, 0);
    }
    let header = bytes
        .split(|&byte| byte == b'\n')
        .next()
        .unwrap_or_default();
    let count = |wanted| header.iter().filter(|&&byte| byte == wanted).count();
    if count(b'\t') > 0 {
        (Format::Tsv, b'\t')
    } else if count(b';') > count(b',') {
        (Format::Csv, b';')
    } else {
        (Format::Csv, b',')
    }
}

struct Reader<'a> {
    task: &'a Task,
    columns: Columns<'a>,
    texts: Texts,
}

impl Reader<'_> {
    fn table(&mut self, bytes: &[u8], delimiter: u8) -> Result<()> {
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .has_headers(false)
            .from_reader(bytes);
        let mut record = csv::ByteRecord::new();
        let mut header: Option<(usize, Option<usize>)> = None;
        let mut lines = Lines::new(bytes);
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    let line = lines.of_row(reader.position());
                    self.problem(line, format!("the row cannot be read: {error}"));
                    break;
                }
            }
            let line = record.position().map_or(0, |at| lines.of_row(at));
            let Some((text, label)) = header else {
                header = Some(self.header(&record)?);
                continue;
            };
            let field = |index: usize| record.get(index).map(std::str::from_utf8).transpose();
            match (field(text), label.map_or(Ok(None), field)) {
                (Ok(Some(text)), Ok(label)) => self.row(line, text, label),
                (Ok(None), _) => {
                    let (column, got) = (text + 1, record.len());
                    self.problem(
                        line,
                        format!("expected at least {column} columns, got {got}"),
                    );
                }
                _ => self.problem(line, "expected UTF-8, got other bytes".into()),
            }
        }
        Ok(())
    }

    /// The places of the two columns.
    fn header(&self, record: &csv::ByteRecord) -> Result<(usize, Option<usize>)> {
        let names: Vec<String> = record
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_owned())
            .collect();
        let place = |column: &str| {
            let same = |name: &String| name.eq_ignore_ascii_case(column);
            names.iter().position(same)
        };
        match place(self.columns.text) {
            Some(text) => Ok((text, place(self.columns.label))),
            None => Err(self.no_column(names.iter().map(String::as_str))),
        }
    }

    fn no_column<'n>(&self, names: impl Iterator<Item = &'n str>) -> LearnerError {
        LearnerError::TextsColumn {
            column: self.columns.text.into(),
            found: names.take(QUOTED).map(quote).collect(),
        }
    }

    fn jsonl(&mut self, bytes: &[u8]) -> Result<()> {
        let mut found = false;
        let mut first_columns: Option<Vec<String>> = None;
        for (index, line_bytes) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = index as u64 + 1;
            if line_bytes.trim_ascii().is_empty() {
                continue;
            }
            let object = match serde_json::from_slice::<Map<String, Value>>(line_bytes) {
                Ok(object) => object,
                Err(error) => {
                    self.problem(line, format!("expected a JSON object: {error}"));
                    continue;
                }
            };
            let Some(text) = object.get(self.columns.text) else {
                let column = self.columns.text;
                self.problem(line, format!("expected a field {column:?}, got none"));
                first_columns.get_or_insert_with(|| object.keys().cloned().collect());
                continue;
            };
            found = true;
            let label = object.get(self.columns.label).filter(|l| !l.is_null());
            match (text, label) {
                (Value::String(text), None) => self.row(line, text, None),
                (Value::String(text), Some(Value::String(label))) => {
                    self.row(line, text, Some(label));
                }
                (Value::String(text), Some(label @ (Value::Number(_) | Value::Bool(_)))) => {
                    self.row(line, text, Some(&label.to_string()));
                }
                (Value::String(_), Some(_)) => {
                    self.problem(line, "expected a label that is a string".into());
                }
                _ => self.problem(line, "expected a text that is a string".into()),
            }
        }
        match first_columns {
            Some(names) if !found => Err(self.no_column(names.iter().map(String::as_str))),
            _ => Ok(()),
        }
    }

    fn row(&mut self, line: u64, text: &str, label: Option<&str>) {
        let text = text.trim();
        if text.is_empty() {
            return self.problem(line, "expected a text, got an empty one".into());
        }
        let label = label.map(str::trim).filter(|label| !label.is_empty());
        let index = label.map(|label| (label, self.task.label_index(label)));
        let label = match index {
            None => None,
            Some((_, Some(index))) => Some(index),
            Some((label, None)) => {
                let labels: Vec<&str> = self.task.labels.iter().map(|l| l.name.as_str()).collect();
                let (labels, label) = (labels.join(", "), quote(label));
                let message = format!("expected a label of {labels}, got {label:?}");
                return self.problem(line, message);
            }
        };
        self.texts.rows.push(Row {
            line,
            text: text.into(),
            label,
        });
    }

    fn problem(&mut self, line: u64, message: String) {
        if self.texts.problems.len() < MOST_PROBLEMS {
            self.texts.problems.push(Problem { line, message });
        } else {
            self.texts.more_problems += 1;
        }
    }
}

/// Counts lines along a table; the csv crate's own count is one short after a CR LF.
struct Lines<'a> {
    bytes: &'a [u8],
    place: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            place: 0,
            line: 1,
        }
    }

    /// The line of the first byte of a row, behind the line ends that the parser skips.
    fn of_row(&mut self, position: &csv::Position) -> u64 {
        let start = (position.byte() as usize).min(self.bytes.len());
        let blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let start = start + self.bytes[start..].iter().take_while(blank).count();
        let passed = self.bytes.get(self.place..start).unwrap_or_default();
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.place = self.place.max(start);
        self.line
    }
}

/// The first characters of something from the file.
fn quote(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(content: impl AsRef<[u8]>) -> Texts {
        read(content.as_ref(), &Task::reviews()).unwrap()
    }

    fn row(line: u64, text: &str, label: Option<usize>) -> Row {
        let text = text.into();
        Row { line, text, label }
    }

    #[test]
    fn the_three_formats_say_the_same() {
        let expected = vec![row(2, "so, good", Some(1)), row(3, "meh", None)];
        let csv = texts("text,label\n\"so, good\",positive\nmeh,\n");
        assert_eq!((csv.format, &csv.rows), (Format::Csv, &expected));
        let semicolons = texts("label;text\r\npositive;so, good\r\n;meh\r\n");
        assert_eq!(semicolons.rows, expected);
        let tsv = texts("text\tlabel\nso, good\tpositive\nmeh\t\n");
        assert_eq!((tsv.format, &tsv.rows), (Format::Tsv, &expected));
        let jsonl = texts(
            "\n{\"text\": \"so, good\", \"label\": \"positive\"}\n{\"label\": null, \"text\": \"meh\"}",
        );
        assert_eq!((jsonl.format, &jsonl.rows), (Format::Jsonl, &expected));
        assert!(
            [csv, semicolons, tsv, jsonl]
                .iter()
                .all(|t| t.problems.is_empty())
        );
    }

    #[test]
    fn a_byte_order_mark_and_other_cases_of_a_header_are_fine() {
        assert_eq!(texts("\u{feff}Text\nfine\n").rows, [row(2, "fine", None)]);
    }

    #[test]
    fn a_quoted_text_may_span_lines() {
        let found = texts("text,label\n\"one\ntwo\",negative\nthree,positive\n");
        let expected = [row(2, "one\ntwo", Some(0)), row(4, "three", Some(1))];
        assert_eq!(found.rows, expected);
    }

    #[test]
    fn an_unknown_label_is_a_problem_of_its_line() {
        let found = texts("text,label\nfine,good\nbad,negative\n");
        assert_eq!(found.rows, [row(3, "bad", Some(0))]);
        assert_eq!(found.problems[0].line, 2);
        let message = &found.problems[0].message;
        assert_eq!(
            message,
            "expected a label of negative, positive, got \"good\""
        );
    }

    #[test]
    fn bad_rows_are_described_and_the_rest_counted() {
        let mut content = b"label,text\n".to_vec();
        content.extend(b"positive\n,\n,\xff\xfe\n");
        content.extend(b"positive,\n".repeat(30));
        let found = texts(&content);
        assert!(found.rows.is_empty());
        assert_eq!((found.problems.len(), found.more_problems), (20, 13));
        assert!(
            found.problems[0]
                .message
                .contains("expected at least 2 columns, got 1")
        );
        assert!(found.problems[1].message.contains("empty"));
        assert!(found.problems[2].message.contains("UTF-8"));
    }

    #[test]
    fn bad_json_lines_are_problems() {
        let found = texts("{\"text\": \"a\"}\n{oops\n[1]\n{\"text\": 3}\n{\"x\": 1}\n");
        assert_eq!(found.rows, [row(1, "a", None)]);
        let lines: Vec<u64> = found.problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
    }

    #[test]
    fn a_missing_column_names_those_that_are_there() {
        let error = |content: &str| {
            let error = read(content.as_bytes(), &Task::reviews());
            error.unwrap_err().to_string()
        };
        for content in ["review,stars\na,b\n", "{\"review\": \"a\", \"stars\": 1}"] {
            let expected =
                r#"texts: expected a column "text", got the columns ["review", "stars"]"#;
            assert_eq!(error(content), expected);
        }
        assert!(error(" \n ").contains("empty file"));
        let columns = Columns {
            text: "review",
            label: "stars",
        };
        let found = read_columns(b"review\nfine", &Task::reviews(), columns);
        assert_eq!(found.unwrap().rows, [row(2, "fine", None)]);
    }

    #[test]
    fn too_large_a_file_is_refused_unread() {
        let error = read(&vec![b'a'; MOST_BYTES + 1], &Task::reviews()).unwrap_err();
        assert!(matches!(error, LearnerError::TextsSize { .. }), "{error}");
    }
}
