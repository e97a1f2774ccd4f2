//! Reads one more column of a file of texts, by which texts can be dealt.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Lines, no_column, sniff};
use crate::Result;
use crate::error::LearnerError;

/// The values of a column, by the line that their row starts on (as [`super::Row::line`]); rows
/// without a value are left out.
///
/// # Errors
/// [`LearnerError::TextsColumn`] for a file without that column.
pub fn column(bytes: &[u8], name: &str) -> Result<BTreeMap<u64, String>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let missing = |names: &[String]| no_column(name, names.iter().map(String::as_str));
    let Some(start) = bytes.iter().position(|byte| !byte.is_ascii_whitespace()) else {
        return Err(missing(&[]));
    };
    match sniff(&bytes[start..]) {
        (super::Format::Jsonl, _) => objects(bytes, name).ok_or_else(|| missing(&[])),
        (_, delimiter) => table(bytes, delimiter, name, missing),
    }
}

fn objects(bytes: &[u8], name: &str) -> Option<BTreeMap<u64, String>> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let value = |(index, line): (usize, &[u8])| {
        let object: Map<String, Value> = serde_json::from_slice(line).ok()?;
        let value = match object.get(name)? {
            Value::String(value) => value.clone(),
            Value::Null => return None,
            value => value.to_string(),
        };
        Some((index as u64 + 1, value))
    };
    let found: BTreeMap<u64, String> = lines.filter_map(value).collect();
    (!found.is_empty()).then_some(found)
}

fn table(
    bytes: &[u8],
    delimiter: u8,
    name: &str,
    missing: impl Fn(&[String]) -> LearnerError,
) -> Result<BTreeMap<u64, String>> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(bytes);
    let text = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
    let mut record = csv::ByteRecord::new();
    let mut lines = Lines::new(bytes);
    let mut place = None;
    let mut values = BTreeMap::new();
    // Rows that cannot be read are told where the texts themselves are read.
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        let line = record.position().map_or(0, |at| lines.of_row(at));
        let Some(place) = place else {
            let names: Vec<String> = record.iter().map(text).collect();
            let found = names
                .iter()
                .position(|known| known.eq_ignore_ascii_case(name));
            place = Some(found.ok_or_else(|| missing(&names))?);
            continue;
        };
        let value = record
            .get(place)
            .map(text)
            .filter(|value| !value.is_empty());
        values.extend(value.map(|value| (line, value)));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_rows_line() {
        let table = "text,label,Domain\n\"two\nlines\",1,food\nb,0,\nc,1,film\n";
        let found = column(table.as_bytes(), "domain").unwrap();
        assert_eq!(
            found,
            [(2, "food".to_owned()), (5, "film".to_owned())].into()
        );
        let objects = "{\"text\":\"a\",\"year\":3}\n\n{\"text\":\"b\",\"year\":null}\n";
        let found = column(objects.as_bytes(), "year").unwrap();
        assert_eq!(found, [(1, "3".to_owned())].into());
    }

    #[test]
    fn a_column_that_is_missing_is_told() {
        for content in ["text,label\na,1\n", "{\"text\":\"a\"}\n", ""] {
            let error = column(content.as_bytes(), "domain")
                .unwrap_err()
                .to_string();
            assert!(error.contains("domain"), "{error}");
        }
    }
}
