//! A classification task as LP-FL asks it: a pattern with a mask, and words for each label.

use serde::{Deserialize, Serialize};

use crate::error::SettingsError;
use crate::settings::within;

/// Where the text goes in a pattern.
pub const TEXT: &str = "{text}";
/// Where the model's mask token goes in a pattern.
pub const MASK: &str = "{mask}";

/// Pattern and verbalizer of one task (Schick and Schütze 2021).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Task {
    /// Name shown to people.
    pub name: String,
    /// `{text}` and `{mask}`, once each, and the words around them.
    pub pattern: String,
    /// The verbalizer: at least two labels, in the order of every probability vector.
    pub labels: Vec<Label>,
    /// Most tokens of a prompt, special tokens included; the text is cut, never the pattern.
    pub max_tokens: u32,
}

/// One label and the words that stand for it at the mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Label {
    /// The label as the texts' `label` column spells it.
    pub name: String,
    /// Its words, each one token of the model's vocabulary; several are averaged (mean logit).
    pub words: Vec<String>,
}

impl Task {
    /// Positive or negative reviews, with one word a label.
    pub fn reviews() -> Self {
        Self::new(
            "Reviews",
            "{text} it was {mask} .",
            &[("negative", &["terrible"]), ("positive", &["great"])],
        )
    }

    /// Topics of short news.
    pub fn news() -> Self {
        Self::new(
            "News topics",
            "{text} this is about {mask} .",
            &[
                ("world", &["world", "politics"]),
                ("sports", &["sports", "sport"]),
                ("business", &["business", "money"]),
                ("technology", &["technology", "science"]),
            ],
        )
    }

    fn new(name: &str, pattern: &str, labels: &[(&str, &[&str])]) -> Self {
        let label = |&(name, words): &(&str, &[&str])| Label {
            name: name.into(),
            words: words.iter().map(|&word| word.into()).collect(),
        };
        Self {
            name: name.into(),
            pattern: pattern.into(),
            labels: labels.iter().map(label).collect(),
            max_tokens: 96,
        }
    }

    /// The position of the label called `name`.
    pub fn label_index(&self, name: &str) -> Option<usize> {
        self.labels.iter().position(|label| label.name == name)
    }

    /// The pattern's parts before, between and after its two places, and which place comes first.
    ///
    /// # Errors
    /// [`SettingsError`] unless `{text}` and `{mask}` stand in it exactly once each.
    pub fn parts(&self) -> Result<PatternParts<'_>, SettingsError> {
        let bad = || {
            let expected = format!("{TEXT} and {MASK}, once each");
            SettingsError::new("task.pattern", expected, self.pattern.clone())
        };
        let once = |needle| self.pattern.matches(needle).count() == 1;
        if !once(TEXT) || !once(MASK) {
            return Err(bad());
        }
        let (before, rest) = self.pattern.split_once(TEXT).ok_or_else(bad)?;
        if let Some((between, after)) = rest.split_once(MASK) {
            return Ok(PatternParts {
                first: Place::Text,
                before,
                between,
                after,
            });
        }
        let (before, between) = before.split_once(MASK).ok_or_else(bad)?;
        Ok(PatternParts {
            first: Place::Mask,
            before,
            between,
            after: rest,
        })
    }

    /// Checks what can be checked without a vocabulary.
    ///
    /// # Errors
    /// The first field that is wrong, with what was expected and what was got.
    pub fn check(&self) -> Result<(), SettingsError> {
        within(
            "task.name",
            self.name.trim().chars().count() as f64,
            1.0,
            80.0,
        )?;
        within(
            "task.pattern",
            self.pattern.chars().count() as f64,
            1.0,
            400.0,
        )?;
        self.parts()?;
        within("task.labels", self.labels.len() as f64, 2.0, 64.0)?;
        within("task.max_tokens", self.max_tokens.into(), 8.0, 8192.0)?;
        for (index, label) in self.labels.iter().enumerate() {
            let field = format!("task.labels[{index}]");
            within(
                &format!("{field}.name"),
                label.name.trim().chars().count() as f64,
                1.0,
                80.0,
            )?;
            within(
                &format!("{field}.words"),
                label.words.len() as f64,
                1.0,
                64.0,
            )?;
            if self.label_index(&label.name) != Some(index) {
                return Err(SettingsError::new(
                    field,
                    "label names that differ",
                    &*label.name,
                ));
            }
            if let Some(word) = label
                .words
                .iter()
                .find(|w| w.trim().is_empty() || w.len() > 80)
            {
                let field = format!("{field}.words");
                return Err(SettingsError::new(
                    field,
                    "words of 1 to 80 bytes",
                    word.as_str(),
                ));
            }
        }
        Ok(())
    }
}

/// A pattern taken apart: `before`, a place, `between`, the other place, `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternParts<'a> {
    /// The place that comes first.
    pub first: Place,
    /// What stands before both places.
    pub before: &'a str,
    /// What stands between them.
    pub between: &'a str,
    /// What stands behind both.
    pub after: &'a str,
}

/// One of a pattern's two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `{text}`
    Text,
    /// `{mask}`
    Mask,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_tasks_pass_their_check() {
        Task::reviews().check().unwrap();
        Task::news().check().unwrap();
    }

    #[test]
    fn pattern_is_taken_apart_in_either_order() {
        let mut task = Task::reviews();
        task.pattern = "a {text} b {mask} c".into();
        let parts = task.parts().unwrap();
        assert_eq!(
            (parts.before, parts.between, parts.after),
            ("a ", " b ", " c")
        );
        assert_eq!(parts.first, Place::Text);
        task.pattern = "{mask} News: {text}".into();
        let parts = task.parts().unwrap();
        assert_eq!(
            (parts.before, parts.between, parts.after),
            ("", " News: ", "")
        );
        assert_eq!(parts.first, Place::Mask);
    }

    #[test]
    fn pattern_without_or_with_two_masks_is_refused() {
        for pattern in [
            "{text} it was",
            "{mask}",
            "{text} {mask} {mask}",
            "{text} {text} {mask}",
        ] {
            let task = Task {
                pattern: pattern.into(),
                ..Task::reviews()
            };
            assert_eq!(task.check().unwrap_err().field, "task.pattern");
        }
    }

    #[test]
    fn equal_label_names_are_refused() {
        let mut task = Task::reviews();
        task.labels[1].name = "negative".into();
        assert_eq!(task.check().unwrap_err().field, "task.labels[1]");
    }
}
