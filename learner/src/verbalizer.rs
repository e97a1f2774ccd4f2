//! The verbalizer: which rows of the model's vocabulary speak for which label.

use fl_core::task::Label;

use crate::Result;
use crate::error::LearnerError;
use crate::model::BaseModel;
use crate::tokenize::Vocabulary;

/// Token ids of each label's words, in the task's order, as they stand in the pattern: behind a
/// blank or not.
///
/// # Errors
/// [`LearnerError::LabelWord`] for a word that is not one token of the vocabulary.
pub(crate) fn label_words(
    vocabulary: &Vocabulary,
    labels: &[Label],
    blank_before: bool,
) -> Result<Vec<Vec<u32>>> {
    labels
        .iter()
        .map(|label| {
            let words = label.words.iter();
            words
                .map(|word| token(vocabulary, label, word, blank_before))
                .collect()
        })
        .collect()
}

fn token(vocabulary: &Vocabulary, label: &Label, word: &str, blank_before: bool) -> Result<u32> {
    single_token(vocabulary, word, blank_before).map_err(|tokens| LearnerError::LabelWord {
        label: label.name.clone(),
        word: word.into(),
        tokens,
    })
}

/// The one token of a word, or else the tokens that it splits into.
pub(crate) fn single_token(
    vocabulary: &Vocabulary,
    word: &str,
    blank_before: bool,
) -> Result<u32, Vec<String>> {
    match vocabulary.word(word, blank_before)[..] {
        [id] if !vocabulary.is_unknown(id) => Ok(id),
        ref ids => Err(vocabulary.spell(ids)),
    }
}

impl BaseModel {
    /// Nothing for a word that can stand for a label, as it is one token of the vocabulary; else
    /// the tokens that it splits into. The word is taken to stand behind a blank, as it does in
    /// `it was {mask}`.
    pub fn splits(&self, word: &str) -> Option<Vec<String>> {
        single_token(self.vocabulary(), word, true).err()
    }
}
