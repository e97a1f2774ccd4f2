//! A classification task as LP-FL asks it: patterns with a mask, and words for each label.

mod pattern;

use serde::{Deserialize, Serialize};

pub use pattern::{MASK, Piece, TEXT, TEXT_2};

use crate::error::SettingsError;
use crate::settings::within;

/// Most characters of a name, a column or a label.
const NAME_CHARACTERS: f64 = 80.0;

/// Patterns and verbalizer of one task (Schick and Schütze 2021), and how its texts are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Task {
    /// Name shown to people.
    pub name: String,
    /// Each with `{text}` and `{mask}`, and `{text_2}` where there are two columns of texts, once
    /// each, and the words around them. The label scores of several patterns are averaged. 1 to 16.
    pub patterns: Vec<String>,
    /// The verbalizer: at least two labels, in the order of every probability vector.
    pub labels: Vec<Label>,
    /// The column of the text, and that of a second text where the task compares two.
    #[serde(default = "text_columns")]
    pub text_columns: Vec<String>,
    /// The column of the label.
    #[serde(default = "label_column")]
    pub label_column: String,
    /// Most tokens of a prompt, special tokens included; the text is cut, never the pattern.
    #[serde(default = "max_tokens")]
    pub max_tokens: u32,
    /// Which part of a long text is dropped.
    #[serde(default)]
    pub truncate: Truncate,
    /// What is subtracted from the label scores.
    #[serde(default)]
    pub calibration: Calibration,
}

/// One label and the words that stand for it at the mask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Label {
    /// The label as it is shown, and as the texts' label column spells it.
    pub name: String,
    /// Other spellings of it in that column, such as a number.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its words, each one token of the model's vocabulary; several are averaged (mean logit).
    pub words: Vec<String>,
}

/// Which part of a text is dropped when it is too long for its prompt.
///
/// Of two texts the longer one is cut first, until both are as long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Truncate {
    /// Its end.
    #[default]
    End,
    /// Its start, where the verdict of a review often stands at the end.
    Start,
    /// Its middle (head and tail are kept, Sun et al. 2019, arXiv 1905.05583).
    Middle,
}

/// What is subtracted from the label scores: a small model favours some words whatever the text
/// says (surface form competition, Holtzman et al. 2021, arXiv 2104.08315).
///
/// The offsets are the base model's, before any training, and constant from then on: training
/// and soft labels see the calibrated scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Calibration {
    /// Nothing.
    #[default]
    None,
    /// Each label's score at prompts without content, with the text empty or "N/A": contextual
    /// calibration (Zhao et al. 2021, arXiv 2102.09690), whose division of probabilities is a
    /// difference of scores.
    ContentFree,
    /// Each label's mean score over unlabelled texts, the contextualised prior of Hu et al. 2022
    /// (arXiv 2108.02035). With two labels the median of the scores' difference instead of its
    /// mean, so that half of these texts fall on each side.
    Unlabelled,
}

fn text_columns() -> Vec<String> {
    vec!["text".into()]
}

fn label_column() -> String {
    "label".into()
}

fn max_tokens() -> u32 {
    96
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
                ("world", &["world", "government"]),
                ("sports", &["sports", "team"]),
                ("business", &["business", "company"]),
                ("technology", &["technology", "software"]),
            ],
        )
    }

    /// A task of one pattern, with every other setting at its default.
    pub fn new(name: &str, pattern: &str, labels: &[(&str, &[&str])]) -> Self {
        Self {
            name: name.into(),
            patterns: vec![pattern.into()],
            labels: labels
                .iter()
                .map(|(name, words)| Label::new(name, words))
                .collect(),
            text_columns: text_columns(),
            label_column: label_column(),
            max_tokens: max_tokens(),
            truncate: Truncate::default(),
            calibration: Calibration::default(),
        }
    }

    /// The position of the label that is spelled `name`.
    pub fn label_index(&self, name: &str) -> Option<usize> {
        let spelled = |label: &Label| label.spellings().any(|spelling| spelling == name);
        self.labels.iter().position(spelled)
    }

    /// Every pattern taken apart.
    ///
    /// # Errors
    /// [`SettingsError`] for the first pattern without each of its places exactly once.
    pub fn pieces(&self) -> Result<Vec<Vec<Piece<'_>>>, SettingsError> {
        let patterns = self.patterns.iter().enumerate();
        patterns
            .map(|(index, pattern)| {
                let texts = self.text_columns.len();
                pattern::pieces(pattern, texts).map_err(|expected| {
                    let field = format!("task.patterns[{index}]");
                    SettingsError::new(field, expected, on_one_line(pattern))
                })
            })
            .collect()
    }

    /// Checks what can be checked without a vocabulary.
    ///
    /// # Errors
    /// The first field that is wrong, with what was expected and what was got.
    pub fn check(&self) -> Result<(), SettingsError> {
        name_within("task.name", &self.name)?;
        self.check_columns()?;
        within("task.patterns", self.patterns.len() as f64, 1.0, 16.0)?;
        for (index, pattern) in self.patterns.iter().enumerate() {
            let field = format!("task.patterns[{index}]");
            within(&field, pattern.chars().count() as f64, 1.0, 400.0)?;
        }
        self.pieces()?;
        within("task.labels", self.labels.len() as f64, 2.0, 64.0)?;
        within("task.max_tokens", self.max_tokens.into(), 8.0, 8192.0)?;
        for (index, label) in self.labels.iter().enumerate() {
            self.check_label(index, label)?;
        }
        Ok(())
    }

    fn check_columns(&self) -> Result<(), SettingsError> {
        let columns = &self.text_columns;
        within("task.text_columns", columns.len() as f64, 1.0, 2.0)?;
        for (index, column) in columns.iter().enumerate() {
            let field = format!("task.text_columns[{index}]");
            name_within(&field, column)?;
            // Headers are compared without regard to case.
            let mut earlier = columns[..index].iter();
            if earlier.any(|earlier| earlier.eq_ignore_ascii_case(column)) {
                return Err(SettingsError::new(
                    field,
                    "another column",
                    on_one_line(column),
                ));
            }
        }
        name_within("task.label_column", &self.label_column)?;
        let label = &self.label_column;
        if columns.iter().any(|text| text.eq_ignore_ascii_case(label)) {
            let expected = "another column than the texts'";
            let field = "task.label_column";
            return Err(SettingsError::new(field, expected, on_one_line(label)));
        }
        Ok(())
    }

    fn check_label(&self, index: usize, label: &Label) -> Result<(), SettingsError> {
        let field = format!("task.labels[{index}]");
        within(
            &format!("{field}.aliases"),
            label.aliases.len() as f64,
            0.0,
            16.0,
        )?;
        name_within(&format!("{field}.name"), &label.name)?;
        for spelling in &label.aliases {
            name_within(&format!("{field}.aliases"), spelling)?;
        }
        for (place, spelling) in label.spellings().enumerate() {
            let mut own = label.spellings().take(place);
            if self.label_index(spelling) != Some(index) || own.any(|own| own == spelling) {
                let part = if place == 0 { "name" } else { "aliases" };
                let expected = "label names and aliases that differ";
                let field = format!("{field}.{part}");
                return Err(SettingsError::new(field, expected, on_one_line(spelling)));
            }
        }
        let field = format!("{field}.words");
        within(&field, label.words.len() as f64, 1.0, 64.0)?;
        for (place, word) in label.words.iter().enumerate() {
            if word.trim().is_empty() || word.len() > 80 {
                return Err(SettingsError::new(
                    field,
                    "words of 1 to 80 bytes",
                    on_one_line(word),
                ));
            }
            if label.words[..place].contains(word) {
                return Err(SettingsError::new(
                    field,
                    "words that differ",
                    on_one_line(word),
                ));
            }
        }
        Ok(())
    }
}

impl Label {
    /// A label with its words and no other spelling.
    pub fn new(name: &str, words: &[&str]) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            words: words.iter().map(|&word| word.into()).collect(),
        }
    }

    /// Its name and its aliases.
    fn spellings(&self) -> impl Iterator<Item = &str> {
        let aliases = self.aliases.iter().map(String::as_str);
        std::iter::once(self.name.as_str()).chain(aliases)
    }
}

/// A text of the task, for a message of one line.
fn on_one_line(text: &str) -> String {
    let shown = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(shown).collect()
}

fn name_within(field: &str, name: &str) -> Result<(), SettingsError> {
    let characters = name.trim().chars().count() as f64;
    if (1.0..=NAME_CHARACTERS).contains(&characters) {
        return Ok(());
    }
    let expected = format!("1 to {NAME_CHARACTERS} characters");
    let shown: String = name.chars().take(NAME_CHARACTERS as usize).collect();
    Err(SettingsError::new(field, expected, format!("{shown:?}")))
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
    fn everything_but_name_patterns_and_labels_has_a_default() {
        let text = r#"{"name": "Reviews", "patterns": ["{text} it was {mask} ."], "labels": [
            {"name": "negative", "words": ["terrible"]},
            {"name": "positive", "words": ["great"]}]}"#;
        let task: Task = serde_json::from_str(text).unwrap();
        assert_eq!(task, Task::reviews());
        let unknown = text.replace("\"patterns\"", "\"pattern\"");
        let error = serde_json::from_str::<Task>(&unknown).unwrap_err();
        assert!(error.to_string().contains("pattern"), "{error}");
    }

    #[test]
    fn a_label_is_found_by_its_name_and_its_aliases() {
        let mut task = Task::reviews();
        task.labels[1].aliases = vec!["1".into(), "pos".into()];
        assert_eq!(task.label_index("positive"), Some(1));
        assert_eq!(task.label_index("pos"), Some(1));
        assert_eq!(task.label_index("0"), None);
        task.check().unwrap();
    }

    #[test]
    fn line_ends_of_a_task_do_not_break_an_error() {
        let mut task = Task::reviews();
        task.patterns = vec!["{text}\n{text}".into()];
        assert_eq!(task.check().unwrap_err().got, "{text}\\n{text}");
        let mut task = Task::reviews();
        task.labels[0].words = vec!["a\r\nb".into(); 2];
        assert_eq!(task.check().unwrap_err().got, "a\\r\\nb");
    }

    #[test]
    fn each_bad_field_is_named() {
        type Spoil = fn(&mut Task);
        let cases: [(&str, Spoil); 15] = [
            ("task.name", |t| t.name = " ".into()),
            ("task.patterns", |t| t.patterns.clear()),
            ("task.patterns[1]", |t| t.patterns.push(String::new())),
            ("task.patterns[1]", |t| t.patterns.push("{text}".into())),
            ("task.patterns[0]", |t| t.text_columns.push("other".into())),
            ("task.text_columns", |t| t.text_columns.clear()),
            ("task.text_columns[1]", |t| {
                t.text_columns.push("Text".into())
            }),
            ("task.label_column", |t| t.label_column = "TEXT".into()),
            ("task.labels", |t| t.labels.truncate(1)),
            ("task.labels[1].name", |t| {
                t.labels[1].name = "negative".into()
            }),
            ("task.labels[1].aliases", |t| {
                t.labels[1].aliases = vec!["negative".into()]
            }),
            ("task.labels[0].aliases", |t| {
                t.labels[0].aliases = vec!["0".into(), "0".into()]
            }),
            ("task.labels[0].words", |t| t.labels[0].words.clear()),
            ("task.labels[0].words", |t| {
                t.labels[0].words.push("terrible".into())
            }),
            ("task.max_tokens", |t| t.max_tokens = 7),
        ];
        for (field, spoil) in cases {
            let mut task = Task::reviews();
            spoil(&mut task);
            assert_eq!(task.check().unwrap_err().field, field);
        }
    }
}
