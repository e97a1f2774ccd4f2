//! Texts inside their task's patterns, as token ids with one mask among them.

use std::borrow::Cow;
use std::sync::Arc;

use fl_core::task::{Piece, Task, Truncate};

use crate::Result;
use crate::error::LearnerError;
use crate::tokenize::Vocabulary;

/// A text, or a pair of texts, in each of its task's patterns. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(Arc<[Cloze]>);

impl Encoded {
    /// A text that another worker encoded: token ids and the mask's position of each prompt.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] without a prompt, or for a mask outside its prompt.
    pub fn new(prompts: Vec<(Vec<u32>, usize)>) -> Result<Self> {
        let check = |(ids, mask): (Vec<u32>, usize)| {
            if mask >= ids.len() {
                let expected = format!("below {}", ids.len());
                return Err(LearnerError::argument("mask's position", expected, mask));
            }
            Ok(Cloze { ids, mask })
        };
        if prompts.is_empty() {
            return Err(LearnerError::argument("prompts", "at least one", 0));
        }
        let prompts = prompts.into_iter().map(check);
        Ok(Self(prompts.collect::<Result<_>>()?))
    }

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

/// A task's patterns.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    patterns: Vec<Pattern>,
    truncate: Truncate,
}

#[derive(Clone, Debug)]
struct Pattern {
    /// What stands around the mask, in its order.
    parts: Vec<Part>,
    /// How many of the parts stand before the mask.
    before: usize,
    /// Most tokens of a prompt.
    limit: usize,
}

#[derive(Clone, Debug)]
enum Part {
    Words(String),
    Text(usize),
}

/// Tokens of every prompt beside the words' and the texts': start, mask and end.
const FRAME: usize = 3;

/// Characters of a text that are read for each token that it may fill.
///
/// A million characters would be split and thrown away but for the first hundred tokens. WordPiece
/// makes one token of a word of up to 100 characters at most, and ordinary words have 5, so what
/// lies behind this many characters cannot reach the prompt unless most of the text is blank.
const CHARACTERS_PER_TOKEN: usize = 64;

impl Prompt {
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

    /// Whether a blank stands before the mask of any pattern, so that what fills it in is a word
    /// of its own.
    pub(crate) fn has_blank_before_mask(&self) -> bool {
        self.patterns.iter().any(Pattern::has_blank_before_mask)
    }

    /// `texts` as many as the task's columns; one that is missing is empty.
    ///
    /// Each pattern with the texts in it is trimmed and split as one: where a text touches the
    /// pattern, the tokens are those of the whole.
    pub(crate) fn encode(&self, vocabulary: &Vocabulary, texts: &[&str]) -> Encoded {
        let limit = self.patterns.iter().map(|pattern| pattern.limit).max();
        let most = limit.unwrap_or(0).saturating_mul(CHARACTERS_PER_TOKEN);
        let texts: Vec<Cow<'_, str>> = texts
            .iter()
            .map(|text| excerpt(text.trim(), self.truncate, most))
            .collect();
        let prompts = self.patterns.iter();
        let prompts = prompts.map(|pattern| pattern.fill(vocabulary, &texts, self.truncate));
        Encoded(prompts.collect())
    }
}

impl Pattern {
    fn new(vocabulary: &Vocabulary, pieces: &[Piece<'_>], limit: usize) -> Result<Self> {
        let part = |piece: &Piece<'_>| match piece {
            Piece::Words(words) => Some(Part::Words((*words).to_owned())),
            Piece::Text(index) => Some(Part::Text(*index)),
            Piece::Mask => None,
        };
        let is_mask = |piece: &Piece<'_>| matches!(piece, Piece::Mask);
        let pattern = Self {
            parts: pieces.iter().filter_map(part).collect(),
            before: pieces.iter().take_while(|piece| !is_mask(piece)).count(),
            limit,
        };
        let tokens = pattern.split(vocabulary, &[]);
        let got = tokens.iter().map(Vec::len).sum::<usize>() + FRAME;
        match got < limit {
            true => Ok(pattern),
            false => Err(LearnerError::PatternLength { limit, got }),
        }
    }

    fn has_blank_before_mask(&self) -> bool {
        let words = match &self.parts[..self.before] {
            [Part::Words(first)] => first.trim_start(),
            [.., Part::Words(last)] => last,
            _ => "",
        };
        words.ends_with(char::is_whitespace)
    }

    /// Each part's tokens, as the parts stand together.
    fn split(&self, vocabulary: &Vocabulary, texts: &[Cow<'_, str>]) -> Vec<Vec<u32>> {
        let part = |part| match part {
            &Part::Text(index) => texts.get(index).map_or("", |text| text),
            Part::Words(words) => words,
        };
        let parts: Vec<&str> = self.parts.iter().map(part).collect();
        let (before, behind) = parts.split_at(self.before);
        vocabulary.split_around_mask(before, behind).concat()
    }

    fn fill(&self, vocabulary: &Vocabulary, texts: &[Cow<'_, str>], truncate: Truncate) -> Cloze {
        let tokens = self.split(vocabulary, texts);
        let (mut fixed, mut lengths) = (FRAME, vec![0; texts.len()]);
        for (part, tokens) in self.parts.iter().zip(&tokens) {
            match *part {
                Part::Text(index) if index < lengths.len() => lengths[index] = tokens.len(),
                _ => fixed += tokens.len(),
            }
        }
        let Some(room) = self.limit.checked_sub(fixed) else {
            // A text's end tore a token of the pattern in two, and there was no room for both.
            return self.fill(vocabulary, &[], truncate);
        };
        let shares = shares(room, &lengths);
        let ids = |(part, tokens): (&Part, &Vec<u32>)| match *part {
            Part::Text(index) => {
                let share = shares.get(index).copied().unwrap_or(0);
                let (head, tail) = kept(tokens, share, truncate);
                [head, tail].concat()
            }
            Part::Words(_) => tokens.clone(),
        };
        let mut parts = self.parts.iter().zip(&tokens).map(ids);
        let before: Vec<u32> = parts.by_ref().take(self.before).flatten().collect();
        let behind: Vec<u32> = parts.flatten().collect();
        let (start, mask, end) = ([vocabulary.start], [vocabulary.mask], [vocabulary.end]);
        Cloze {
            mask: start.len() + before.len(),
            ids: [&start[..], &before, &mask, &behind, &end].concat(),
        }
    }
}

/// What of a text is looked at: at most about this many characters, without those to be dropped.
fn excerpt(text: &str, truncate: Truncate, most: usize) -> Cow<'_, str> {
    let from_start = |count: usize| text.char_indices().nth(count).map(|(at, _)| at);
    let Some(cut) = from_start(most) else {
        return text.into();
    };
    let from_end = |count: usize| {
        let last = text.char_indices().rev().take(count).last();
        last.map_or(text.len(), |(at, _)| at)
    };
    match truncate {
        Truncate::End => text[..cut].into(),
        Truncate::Start => text[from_end(most)..].into(),
        Truncate::Middle => {
            let half = most / 2;
            let head = from_start(half).unwrap_or(text.len());
            format!("{} {}", &text[..head], &text[from_end(half)..]).into()
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
