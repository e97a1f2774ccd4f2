//! Everything that can go wrong here, each with what was expected and what was got.

use fl_core::adapter::AdapterError;
use fl_core::error::SettingsError;

/// Names of the three files of a base model, as errors call them.
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const TOKENIZER: &str = "tokenizer.json";
pub(crate) const WEIGHTS: &str = "model.safetensors";

/// Why a model, a task or texts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LearnerError {
    /// A file that is not what its name says.
    #[error("{file} cannot be read: {reason}")]
    File {
        /// The file.
        file: String,
        /// What the parser says.
        reason: String,
    },
    /// A field of a model's files that this program cannot follow.
    #[error("{file}, {field}: expected {expected}, got {got}")]
    Field {
        /// The file.
        file: &'static str,
        /// The field.
        field: &'static str,
        /// What would do.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// A tensor that the configuration calls for and the weights lack.
    #[error("{file}, tensor {tensor}: expected shape {expected:?}, got no such tensor")]
    MissingTensor {
        /// The file.
        file: String,
        /// Its name.
        tensor: String,
        /// Its shape by the configuration.
        expected: Vec<usize>,
    },
    /// Weights of a model without the head that fills in masks.
    #[error(
        "{file}, tensor {tensor}: expected shape {expected:?}, got no such tensor: this {model_type} \
         model has no masked-LM head; take its version for masked language modelling"
    )]
    MissingHead {
        /// The file.
        file: String,
        /// The architecture.
        model_type: &'static str,
        /// The head's first tensor.
        tensor: String,
        /// Its shape by the configuration.
        expected: Vec<usize>,
    },
    /// A tensor of another shape than the configuration says.
    #[error("{file}, tensor {tensor}: expected shape {expected:?}, got {got:?}")]
    TensorShape {
        /// The file.
        file: String,
        /// Its name.
        tensor: String,
        /// Its shape by the configuration.
        expected: Vec<usize>,
        /// Its shape in the file.
        got: Vec<usize>,
    },
    /// A tensor of numbers that are not f32, f16 or bf16.
    #[error("{file}, tensor {tensor}: expected f32, f16 or bf16, got {got}")]
    TensorType {
        /// The file.
        file: String,
        /// Its name.
        tensor: String,
        /// Its type in the file.
        got: String,
    },
    /// A tensor with an infinite value or one that is not a number.
    #[error("{file}, tensor {tensor}: expected finite values, got {got} at {index}")]
    TensorValue {
        /// The file.
        file: String,
        /// Its name.
        tensor: String,
        /// Position in row-major order.
        index: usize,
        /// The value, as text.
        got: String,
    },
    /// A matrix of an adapter's file that does not fit the base model.
    #[error("{file}, matrix {matrix}: expected {expected}, got {got}")]
    Matrix {
        /// The file.
        file: &'static str,
        /// The matrix's name in the file.
        matrix: String,
        /// What would do.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// A label word that the vocabulary does not hold as one token.
    #[error(
        "label {label}: expected a word of one token, got {word:?}, which splits into {tokens:?}"
    )]
    LabelWord {
        /// The label.
        label: String,
        /// The word.
        word: String,
        /// What it splits into.
        tokens: Vec<String>,
    },
    /// A pattern that leaves no room for text.
    #[error("pattern: expected fewer than {limit} tokens, special ones included, got {got}")]
    PatternLength {
        /// Most tokens of a prompt.
        limit: usize,
        /// Tokens of the pattern alone.
        got: usize,
    },
    /// A setting out of range.
    #[error(transparent)]
    Setting(#[from] SettingsError),
    /// An adapter of another layout.
    #[error("adapter: {0}")]
    Adapter(#[from] AdapterError),
    /// An argument that does not fit the task or the others.
    #[error("{what}: expected {expected}, got {got}")]
    Argument {
        /// The argument.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What was passed.
        got: String,
    },
    /// Training left the range of numbers.
    #[error("{what}: expected a finite number, got {got}; a lower learning rate may help")]
    Diverged {
        /// What is not finite.
        what: &'static str,
        /// Its value.
        got: f32,
    },
    /// Texts above the size that is read.
    #[error("texts: expected at most {limit} bytes, got {got}")]
    TextsSize {
        /// Most bytes.
        limit: usize,
        /// Bytes passed.
        got: usize,
    },
    /// Texts without any row.
    #[error("texts: expected CSV, TSV or JSONL with a column {column:?}, got an empty file")]
    TextsEmpty {
        /// The column of texts.
        column: String,
    },
    /// Texts without the column that holds them.
    #[error("texts: expected a column {column:?}, got the columns {found:?}")]
    TextsColumn {
        /// The column of texts.
        column: String,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// The tensor library failed; not for reasons of the input.
    #[error("tensor computation failed: {0}")]
    Compute(#[from] candle_core::Error),
}

impl LearnerError {
    pub(crate) fn file(file: impl Into<String>, reason: impl ToString) -> Self {
        Self::File {
            file: one_line(&file.into()),
            reason: one_line(&reason.to_string()),
        }
    }

    pub(crate) fn field(
        file: &'static str,
        field: &'static str,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Self::Field {
            file,
            field,
            expected: one_line(&expected.to_string()),
            got: one_line(&got.to_string()),
        }
    }

    pub(crate) fn argument(
        what: &'static str,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        Self::Argument {
            what,
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}

/// Most characters of a file that an error repeats.
const QUOTED: usize = 200;

/// Words that may come from a file, on one line and no longer than a person reads.
fn one_line(words: &str) -> String {
    let most = words.char_indices().nth(QUOTED);
    let (start, more) = match most {
        Some((end, _)) => (&words[..end], "…"),
        None => (words, ""),
    };
    let visible = |letter: char| if letter.is_control() { ' ' } else { letter };
    start.chars().map(visible).chain(more.chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_file_stay_on_one_line() {
        let words = LearnerError::field(CONFIG, "hidden_act", "gelu", "a\nb\0c").to_string();
        assert_eq!(words, "config.json, hidden_act: expected gelu, got a b c");
        let long = LearnerError::file(CONFIG, "é".repeat(100_000)).to_string();
        assert!(
            long.ends_with("éé…") && long.chars().count() < 300,
            "{long}"
        );
    }
}
