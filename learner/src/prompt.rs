//! A text inside its task's pattern, as token ids with one mask among them.

use std::sync::Arc;

use fl_core::task::{Place, Task};

use crate::Result;
use crate::error::LearnerError;
use crate::tokenize::Vocabulary;

/// A prompt ready for the model. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    ids: Arc<[u32]>,
    mask: usize,
}

impl Encoded {
    /// Token ids, special tokens included.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Position of the mask token.
    pub fn mask(&self) -> usize {
        self.mask
    }
}

/// A task's pattern, split into tokens once.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    first: Place,
    before: Vec<u32>,
    between: Vec<u32>,
    after: Vec<u32>,
    room: usize,
}

/// Characters of a text that are read for each token that it may fill.
///
/// A million characters would be split and thrown away but for the first hundred tokens. WordPiece
/// makes one token of a word of up to 100 characters at most, and ordinary words have 5, so what
/// lies behind this many characters cannot reach the prompt unless most of the text is blank.
const CHARACTERS_PER_TOKEN: usize = 64;

impl Prompt {
    /// Splits the parts of the pattern, each by itself: what touches a place touches a word.
    ///
    /// # Errors
    /// [`LearnerError::PatternLength`] when the pattern leaves no token for the text.
    pub(crate) fn new(vocabulary: &Vocabulary, task: &Task, positions: usize) -> Result<Self> {
        let parts = task.parts()?;
        let [before, between, after] =
            [parts.before, parts.between, parts.after].map(|part| vocabulary.split(part));
        let limit = positions.min(task.max_tokens as usize);
        let got = before.len() + between.len() + after.len() + 3;
        if got >= limit {
            return Err(LearnerError::PatternLength { limit, got });
        }
        Ok(Self {
            first: parts.first,
            before,
            between,
            after,
            room: limit - got,
        })
    }

    pub(crate) fn encode(&self, vocabulary: &Vocabulary, text: &str) -> Encoded {
        let text = text.trim();
        let most = self.room.saturating_mul(CHARACTERS_PER_TOKEN);
        let cut = text
            .char_indices()
            .nth(most)
            .map_or(text.len(), |(at, _)| at);
        let mut text = vocabulary.split(&text[..cut]);
        text.truncate(self.room);
        let mask = [vocabulary.mask];
        let (first, second) = match self.first {
            Place::Text => (&text[..], &mask[..]),
            Place::Mask => (&mask[..], &text[..]),
        };
        let start = [vocabulary.start];
        let end = [vocabulary.end];
        let parts = [
            &start,
            &self.before[..],
            first,
            &self.between,
            second,
            &self.after,
            &end,
        ];
        let place = match self.first {
            Place::Text => 4,
            Place::Mask => 2,
        };
        Encoded {
            mask: parts[..place].iter().map(|part| part.len()).sum(),
            ids: parts.concat().into(),
        }
    }
}
