//! Settings that are a table, or a word that stands for one.

use std::fmt;
use std::marker::PhantomData;

use fl_core::soft_labels::{Growth, SoftLabelSettings};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::Data;

struct WordOrTable<T> {
    expected: &'static str,
    of_word: fn(&str) -> Option<T>,
    table: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for WordOrTable<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<T, E> {
        let unexpected = serde::de::Unexpected::Str(word);
        (self.of_word)(word).ok_or_else(|| E::invalid_value(unexpected, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

fn word_or_table<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    expected: &'static str,
    of_word: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(WordOrTable {
        expected,
        of_word,
        table: PhantomData,
    })
}

/// A bundled corpus by its name, or a table of files.
pub(super) fn data<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
    let expected = "a bundled corpus's name, or a table with train and test";
    word_or_table(deserializer, expected, |word| Some(Data::bundled(word)))
}

/// A task by its name, or a table of its fields.
pub(super) fn task<'de, D: Deserializer<'de>>(deserializer: D) -> Result<toml::Table, D::Error> {
    let expected = "a task's name or file, or a table of its fields";
    word_or_table(deserializer, expected, |word| {
        let name = toml::Value::String(word.into());
        Some([("from".to_owned(), name)].into_iter().collect())
    })
}

/// Off, on with the defaults, or a table of settings.
pub(super) fn soft_labels<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SoftLabelSettings, D::Error> {
    let expected = "\"on\", \"off\" or a table of settings";
    word_or_table(deserializer, expected, |word| match word {
        "on" => Some(SoftLabelSettings::default()),
        "off" => Some(SoftLabelSettings {
            growth: Growth::Off,
            ..SoftLabelSettings::default()
        }),
        _ => None,
    })
}
