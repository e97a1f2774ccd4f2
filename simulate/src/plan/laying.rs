//! Lays settings over others, and reads the values of flags.

use toml::{Table, Value};

use crate::error::{Result, SimulateError};
use crate::experiment::Data;

/// Most tables that a dotted key goes through.
const MOST_STEPS: usize = 16;

/// A setting that something other than the file gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Assignment {
    /// Where it comes from, for errors.
    pub(super) flag: String,
    /// The dotted key.
    pub(super) key: String,
    /// Its value.
    pub(super) value: Value,
}

impl Assignment {
    /// The value as people read it.
    pub(super) fn shown(&self) -> String {
        shown(&self.value)
    }
}

/// A value as people read it: of a table, what its `name` or its entries say.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Table(table) => {
            let entries = table.values().map(shown);
            entries.collect::<Vec<_>>().join("-")
        }
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join("-"),
        value => value.to_string(),
    }
}

/// TOML where it is that, else a word.
pub(super) fn value(text: &str) -> Value {
    let read = format!("value = {text}").parse::<Table>();
    let value = read.ok().and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| Value::String(text.trim().into()))
}

/// Values between commas, but for those inside brackets, braces and quotes.
pub(super) fn values(text: &str) -> Vec<Value> {
    let (mut depth, mut quoted, mut parts) = (0_i32, false, vec![String::new()]);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            '[' | '{' if !quoted => depth += 1,
            ']' | '}' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| value(part)).collect()
}

/// Sets one value by its dotted key; tables on the way are made.
pub(super) fn set(table: &mut Table, assignment: &Assignment) -> Result<()> {
    let Assignment { flag, key, value } = assignment;
    let mut steps: Vec<&str> = key.split('.').collect();
    let last = steps.pop().unwrap_or_default();
    if steps.len() > MOST_STEPS {
        let message = format!("expected a key of at most {MOST_STEPS} steps");
        return Err(SimulateError::setting(flag, message));
    }
    let mut inner = table;
    for (depth, step) in steps.into_iter().enumerate() {
        let entry = inner.entry(step).or_insert_with(|| match (depth, step) {
            (0, "data") => Data::USUAL.into(),
            _ => Value::Table(Table::new()),
        });
        if depth == 0 {
            let names_texts = matches!(key.as_str(), "data.corpus" | "data.train" | "data.test");
            match names_texts && entry.is_str() {
                true => *entry = Value::Table(Table::new()),
                false => spell_out(step, entry),
            }
        }
        inner = entry.as_table_mut().ok_or_else(|| {
            let message = format!("{step} is no table of settings");
            SimulateError::setting(flag, message)
        })?;
    }
    inner.insert(last.to_owned(), value.clone());
    Ok(())
}

/// Puts the table in the place of a word that stands for it, so that keys can be set beside it.
fn spell_out(key: &str, entry: &mut Value) {
    let Some(word) = entry.as_str() else { return };
    let table = match (key, word) {
        ("data", word) => Table::from_iter([("corpus".to_owned(), word.into())]),
        ("task", word) => Table::from_iter([("from".to_owned(), word.into())]),
        ("soft_labels", "off") => {
            let growth = Table::from_iter([("by".to_owned(), "off".into())]);
            Table::from_iter([("growth".to_owned(), Value::Table(growth))])
        }
        ("soft_labels", "on") => Table::new(),
        _ => return,
    };
    *entry = Value::Table(table);
}

/// Whether a key is one of those that make axes, not settings.
pub(super) fn is_axis(key: &str) -> bool {
    let first = key.split('.').next().unwrap_or(key);
    matches!(first.trim(), "cases" | "sweep")
}

/// Whether a table replaces the one before at this key, instead of joining it: a choice, other
/// texts, another task.
pub(super) fn is_whole(key: &str, table: &Table) -> bool {
    let has = |key: &&str| table.contains_key(*key);
    match key {
        "data" => ["corpus", "train", "test"].iter().any(has),
        "task" => ["from", "patterns"].iter().any(has),
        _ => table.contains_key("by"),
    }
}

/// Lays a table over another: tables are joined, but for those that are one choice as a whole.
pub(super) fn lay(table: &mut Table, over: &Table) {
    for (key, value) in over {
        let joins = value.as_table().is_some_and(|value| !is_whole(key, value));
        if joins && let Some(below) = table.get_mut(key) {
            spell_out(key, below);
        }
        match (table.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(value)) if joins => lay(below, value),
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_or_words() {
        assert_eq!(value("3"), Value::Integer(3));
        assert_eq!(value("fp-fl"), Value::String("fp-fl".into()));
        assert_eq!(value("[1, 2]").as_array().map(Vec::len), Some(2));
        let all = values("1,{ by = \"off\", x = 1 },\"a,b\",[1,2]");
        let all: Vec<String> = all.iter().map(shown).collect();
        assert_eq!(all, ["1", "off-1", "a,b", "1-2"]);
    }

    #[test]
    fn tables_are_joined_and_choices_replaced() {
        let mut table: Table = "soft_labels = \"off\"".parse().unwrap();
        lay(&mut table, &"soft_labels.weight = 1".parse().unwrap());
        assert_eq!(table["soft_labels"]["growth"]["by"].as_str(), Some("off"));
        let mut table: Table = "data = { train = \"a\", test = \"b\" }\ntask = \"mine\""
            .parse()
            .unwrap();
        let over = "data.train_texts = 100\ntask.max_tokens = 64";
        lay(&mut table, &over.parse().unwrap());
        assert_eq!(table["data"]["train"].as_str(), Some("a"));
        assert_eq!(table["data"]["train_texts"].as_integer(), Some(100));
        assert_eq!(table["task"]["from"].as_str(), Some("mine"));
        let mut table: Table =
            "a = { x = 1, y = 2 }\ng = { by = \"u\", f = 1 }\ntask = { from = \"z\" }"
                .parse()
                .unwrap();
        let over: Table = "a.y = 3\ng = { by = \"v\" }\ntask = { from = \"w\" }"
            .parse()
            .unwrap();
        lay(&mut table, &over);
        let expected: Table = "a = { x = 1, y = 3 }\ng = { by = \"v\" }\ntask = { from = \"w\" }"
            .parse()
            .unwrap();
        assert_eq!(table, expected);
    }

    #[test]
    fn a_key_sets_what_is_inside_tables() {
        let mut table: Table = "soft_labels = \"off\"\nrounds = 1".parse().unwrap();
        let assignment = |key: &str| Assignment {
            flag: "--set".into(),
            key: key.into(),
            value: Value::Integer(2),
        };
        set(&mut table, &assignment("soft_labels.weight")).unwrap();
        assert_eq!(table["soft_labels"]["weight"].as_integer(), Some(2));
        assert_eq!(table["soft_labels"]["growth"]["by"].as_str(), Some("off"));
        let mut words: Table = "data = \"news\"\ntask = \"mine.toml\"".parse().unwrap();
        set(&mut words, &assignment("data.test_texts")).unwrap();
        set(&mut words, &assignment("task.max_tokens")).unwrap();
        assert_eq!(words["data"]["corpus"].as_str(), Some("news"));
        assert_eq!(words["task"]["from"].as_str(), Some("mine.toml"));
        let deep = set(&mut words, &assignment(&"a.".repeat(30_000))).unwrap_err();
        assert!(deep.to_string().contains("at most 16 steps"), "{deep}");
        let error = set(&mut table, &assignment("rounds.weight")).unwrap_err();
        assert_eq!(error.to_string(), "--set: rounds is no table of settings");
    }
}
