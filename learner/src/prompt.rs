//! Texts inside their task's patterns, as token ids with one mask among them.

use std::sync::Arc;

use fl_core::task::{Piece, Task, Truncate};

use crate::Result;
use crate::error::LearnerError;
use crate::tokenize::Vocabulary;

/// A text, or a pair of texts, in each of its task's patterns. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Arc<[Cloze]>);

impl Encoded {
    /// One prompt for each pattern, in the task's order; at least one.
    pub fn prompts(&self) -> &[Cloze] {
        &self.0
    }

    /// Token ids of all its prompts together.
    pub(crate) fn tokens(&self) -> usize {
        self.0.iter().map(|prompt| prompt.ids.len()).sum()
    }
}

/// A pattern filled with a text, ready for the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloze {
    ids: Vec<u32>,
    mask: usize,
}

impl Cloze {
    /// Token ids, special tokens included.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Position of the mask token.
    pub fn mask(&self) -> usize {
        self.mask
    }
}

/// A task's patterns, split into tokens once.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    patterns: Vec<Pattern>,
    truncate: Truncate,
}

#[derive(Clone, Debug)]
struct Pattern {
    parts: Vec<Part>,
    /// Tokens that are left for the texts.
    room: usize,
}

#[derive(Clone, Debug)]
enum Part {
    Words(Vec<u32>),
    Text(usize),
    Mask,
}

/// Characters of a text that are read for each token that it may fill.
///
/// A million characters would be split and thrown away but for the first hundred tokens. WordPiece
/// makes one token of a word of up to 100 characters at most, and ordinary words have 5, so what
/// lies behind this many characters cannot reach the prompt unless most of the text is blank.
const CHARACTERS_PER_TOKEN: usize = 64;

impl Prompt {
    /// Splits the parts of the patterns, each by itself: what touches a place touches a word.
    ///
    /// # Errors
    /// [`LearnerError::PatternLength`] when a pattern leaves no token for the text.
    pub(crate) fn new(vocabulary: &Vocabulary, task: &Task, positions: usize) -> Result<Self> {
        let limit = positions.min(task.max_tokens as usize);
        let patterns = task.pieces()?.into_iter();
        let patterns = patterns.map(|pieces| Pattern::new(vocabulary, &pieces, limit));
        Ok(Self {
            patterns: patterns.collect::<Result<_>>()?,
            truncate: task.truncate,
        })
    }

    /// `texts` as many as the task's columns; one that is missing is empty.
    pub(crate) fn encode(&self, vocabulary: &Vocabulary, texts: &[&str]) -> Encoded {
        let room = self.patterns.iter().map(|pattern| pattern.room).max();
        let most = room.unwrap_or(0).saturating_mul(CHARACTERS_PER_TOKEN);
        let texts: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| split_within(vocabulary, text.trim(), self.truncate, most))
            .collect();
        let prompts = self.patterns.iter();
        let prompts = prompts.map(|pattern| pattern.fill(vocabulary, &texts, self.truncate));
        Encoded(prompts.collect())
    }
}

impl Pattern {
    fn new(vocabulary: &Vocabulary, pieces: &[Piece<'_>], limit: usize) -> Result<Self> {
        let part = |piece: &Piece<'_>| match piece {
            Piece::Words(words) => Part::Words(vocabulary.split(words)),
            Piece::Text(index) => Part::Text(*index),
            Piece::Mask => Part::Mask,
        };
        let parts: Vec<Part> = pieces.iter().map(part).collect();
        let length = |part: &Part| match part {
            Part::Words(words) => words.len(),
            Part::Text(_) => 0,
            Part::Mask => 1,
        };
        // A start and an end token stand around it.
        let got = parts.iter().map(length).sum::<usize>() + 2;
        if got >= limit {
            return Err(LearnerError::PatternLength { limit, got });
        }
        let room = limit - got;
        Ok(Self { parts, room })
    }

    fn fill(&self, vocabulary: &Vocabulary, texts: &[Vec<u32>], truncate: Truncate) -> Cloze {
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        let shares = shares(self.room, &lengths);
        let (mut ids, mut mask) = (vec![vocabulary.start], 0);
        for part in &self.parts {
            match part {
                Part::Words(words) => ids.extend(words),
                Part::Mask => {
                    mask = ids.len();
                    ids.push(vocabulary.mask);
                }
                Part::Text(index) => {
                    if let (Some(text), Some(share)) = (texts.get(*index), shares.get(*index)) {
                        let (head, tail) = kept(text, *share, truncate);
                        ids.extend(head.iter().chain(tail));
                    }
                }
            }
        }
        ids.push(vocabulary.end);
        Cloze { ids, mask }
    }
}

/// The tokens of a text of which at most this many characters are read, around what is dropped.
fn split_within(vocabulary: &Vocabulary, text: &str, truncate: Truncate, most: usize) -> Vec<u32> {
    let from_start = |count: usize| text.char_indices().nth(count).map(|(at, _)| at);
    let Some(cut) = from_start(most) else {
        return vocabulary.split(text);
    };
    let from_end = |count: usize| {
        let last = text.char_indices().rev().take(count).last();
        last.map_or(text.len(), |(at, _)| at)
    };
    match truncate {
        Truncate::End => vocabulary.split(&text[..cut]),
        Truncate::Start => vocabulary.split(&text[from_end(most)..]),
        Truncate::Middle => {
            let half = most / 2;
            let head = from_start(half).unwrap_or(text.len());
            let mut tokens = vocabulary.split(&text[..head]);
            tokens.extend(vocabulary.split(&text[from_end(half)..]));
            tokens
        }
    }
}

/// How many tokens each text keeps: all where they fit, else the longest are cut until they do.
fn shares(room: usize, lengths: &[usize]) -> Vec<usize> {
    let mut shares = vec![0; lengths.len()];
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| lengths[index]);
    let mut rest = room;
    for (place, &index) in order.iter().enumerate() {
        let fair = rest / (order.len() - place);
        shares[index] = lengths[index].min(fair);
        rest -= shares[index];
    }
    shares
}

/// What is kept of a text: its head and its tail, together at most `share` tokens.
fn kept(text: &[u32], share: usize, truncate: Truncate) -> (&[u32], &[u32]) {
    if text.len() <= share {
        return (text, &[]);
    }
    let tail = match truncate {
        Truncate::End => 0,
        Truncate::Start => share,
        Truncate::Middle => share / 2,
    };
    (&text[..share - tail], &text[text.len() - tail..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_part_that_the_task_names_is_dropped() {
        let text = [1, 2, 3, 4, 5, 6];
        let joined = |share, truncate| {
            let (head, tail) = kept(&text, share, truncate);
            [head, tail].concat()
        };
        assert_eq!(joined(3, Truncate::End), [1, 2, 3]);
        assert_eq!(joined(3, Truncate::Start), [4, 5, 6]);
        assert_eq!(joined(3, Truncate::Middle), [1, 2, 6]);
        assert_eq!(joined(4, Truncate::Middle), [1, 2, 5, 6]);
        for truncate in [Truncate::End, Truncate::Start, Truncate::Middle] {
            assert_eq!(joined(6, truncate), text);
            assert!(joined(0, truncate).is_empty());
        }
    }

    #[test]
    fn the_longer_of_two_texts_is_cut_first() {
        assert_eq!(shares(10, &[4, 5]), [4, 5]);
        assert_eq!(shares(10, &[20, 3]), [7, 3]);
        assert_eq!(shares(10, &[3, 20]), [3, 7]);
        assert_eq!(shares(11, &[20, 30]), [5, 6]);
        assert_eq!(shares(7, &[9]), [7]);
    }

    proptest! {
        #[test]
        fn shares_fill_the_room_and_no_more(room in 0usize..50, a in 0usize..60, b in 0usize..60) {
            let shares = shares(room, &[a, b]);
            prop_assert_eq!(shares[0] + shares[1], room.min(a + b));
            prop_assert!(shares[0] <= a && shares[1] <= b);
            // Whoever is cut keeps no fewer tokens than the other but for one.
            prop_assert!(shares[0] == a || shares[0] + 1 >= shares[1]);
            prop_assert!(shares[1] == b || shares[1] + 1 >= shares[0]);
        }
    }
}
