//! Reads texts and their labels from CSV, TSV or JSONL.

mod column;

use fl_core::task::Task;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Result;
use crate::error::LearnerError;

pub use column::column;

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
    /// The second text of a task that has two; never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
    /// Its label's position in the task, where it has one.
    pub label: Option<usize>,
}

impl Row {
    /// Its texts, as many as the task has columns for.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let second = self.second.as_deref();
        std::iter::once(self.text.as_str()).chain(second)
    }
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

/// Reads the columns and labels of `task`.
///
/// # Errors
/// A file above [`MOST_BYTES`], an empty one, or one without a column of texts; a file without the
/// column of labels is unlabelled. Single bad rows are no error: they are left out and described
/// in [`Texts::problems`].
pub fn read(bytes: &[u8], task: &Task) -> Result<Texts> {
    if bytes.len() > MOST_BYTES {
        return Err(LearnerError::TextsSize {
            limit: MOST_BYTES,
            got: bytes.len(),
        });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let Some(start) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) else {
        return Err(LearnerError::TextsEmpty {
            column: task.text_columns.join(", "),
        });
    };
    let (format, delimiter) = sniff(&bytes[start..]);
    let mut reader = Reader {
        task,
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

/// A table's parser.
fn parser(bytes: &[u8], delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(bytes)
}

/// Whether the last row has several lines and a quote that never closes: a row behind it is part
/// of it.
fn is_open(row: Option<&[u8]>, delimiter: u8) -> bool {
    let row = row.unwrap_or_default().trim_ascii();
    let longer = [row, b"\nx\n"].concat();
    row.contains(&b'\n') && parser(&longer, delimiter).byte_records().count() == 1
}

/// The places of a table's columns.
struct Header {
    texts: Vec<usize>,
    label: Option<usize>,
}

struct Reader<'a> {
    task: &'a Task,
    texts: Texts,
}

impl Reader<'_> {
    fn table(&mut self, bytes: &[u8], delimiter: u8) -> Result<()> {
        let mut reader = parser(bytes, delimiter);
        let mut record = csv::ByteRecord::new();
        let mut header: Option<Header> = None;
        let mut lines = Lines::new(bytes);
        let end = bytes.trim_ascii_end().len() as u64;
        let is_last = |reader: &csv::Reader<&[u8]>| reader.position().byte() >= end;
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
            let start = record.position().map_or(0, |at| at.byte() as usize);
            match &header {
                None => header = Some(self.header(&record)?),
                Some(_) if is_last(&reader) && is_open(bytes.get(start..), delimiter) => {
                    let message = "a quote opens in this row and never closes, which makes one \
                                   text of the rows behind it";
                    self.problem(line, message.into());
                }
                Some(header) => self.record(line, header, &record),
            }
        }
        Ok(())
    }

    fn record(&mut self, line: u64, header: &Header, record: &csv::ByteRecord) {
        if let Some(missing) = header
            .texts
            .iter()
            .find(|place| record.get(**place).is_none())
        {
            let (column, got) = (missing + 1, record.len());
            let message = format!("expected at least {column} columns, got {got}");
            return self.problem(line, message);
        }
        let field = |place: &usize| record.get(*place).map(std::str::from_utf8).transpose();
        let texts: Result<Vec<&str>, _> = header
            .texts
            .iter()
            .filter_map(|p| field(p).transpose())
            .collect();
        match (texts, header.label.as_ref().map_or(Ok(None), field)) {
            (Ok(texts), Ok(label)) => self.row(line, &texts, label),
            _ => self.problem(line, "expected UTF-8, got other bytes".into()),
        }
    }

    /// The places of the columns.
    fn header(&self, record: &csv::ByteRecord) -> Result<Header> {
        let names: Vec<String> = record
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim().to_owned())
            .collect();
        let place = |column: &str| {
            let same = |name: &String| name.eq_ignore_ascii_case(column);
            names.iter().position(same)
        };
        let text = |column: &String| {
            let missing = || no_column(column, names.iter().map(String::as_str));
            place(column).ok_or_else(missing)
        };
        Ok(Header {
            texts: self
                .task
                .text_columns
                .iter()
                .map(text)
                .collect::<Result<_>>()?,
            label: place(&self.task.label_column),
        })
    }

    fn jsonl(&mut self, bytes: &[u8]) -> Result<()> {
        let mut found = false;
        let mut first_missing: Option<LearnerError> = None;
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
            let columns = &self.task.text_columns;
            if let Some(column) = columns.iter().find(|column| !object.contains_key(*column)) {
                self.problem(line, format!("expected a field {column:?}, got none"));
                let names = object.keys().map(String::as_str);
                first_missing.get_or_insert_with(|| no_column(column, names));
                continue;
            }
            found = true;
            self.object(line, &object);
        }
        match first_missing {
            Some(error) if !found => Err(error),
            _ => Ok(()),
        }
    }

    fn object(&mut self, line: u64, object: &Map<String, Value>) {
        let columns = self.task.text_columns.iter();
        let texts: Option<Vec<&str>> = columns.map(|column| object.get(column)?.as_str()).collect();
        let Some(texts) = texts else {
            return self.problem(line, "expected a text that is a string".into());
        };
        match object.get(&self.task.label_column) {
            None | Some(Value::Null) => self.row(line, &texts, None),
            Some(Value::String(label)) => self.row(line, &texts, Some(label)),
            Some(label @ (Value::Number(_) | Value::Bool(_))) => {
                self.row(line, &texts, Some(&label.to_string()));
            }
            Some(_) => self.problem(line, "expected a label that is a string".into()),
        }
    }

    fn row(&mut self, line: u64, texts: &[&str], label: Option<&str>) {
        let mut texts = texts.iter().map(|text| text.trim());
        if texts.clone().any(str::is_empty) {
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
            text: texts.next().unwrap_or_default().into(),
            second: texts.next().map(str::to_owned),
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

fn no_column<'n>(column: &str, names: impl Iterator<Item = &'n str>) -> LearnerError {
    LearnerError::TextsColumn {
        column: column.into(),
        found: names.take(QUOTED).map(quote).collect(),
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
        let ends_line = |place: &usize| match self.bytes[*place] {
            b'\n' => true,
            // Alone, as old programs write it, it ends a line too.
            b'\r' => self.bytes.get(place + 1) != Some(&b'\n'),
            _ => false,
        };
        self.line += (self.place..start).filter(ends_line).count() as u64;
        self.place = self.place.max(start);
        self.line
    }
}

/// The first characters of something from the file.
fn quote(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests;
