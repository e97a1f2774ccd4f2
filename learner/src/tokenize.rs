//! A model's tokenizer, set up so that no text can forge a special token.

use tokenizers::models::ModelWrapper;
use tokenizers::{AddedToken, Model as _, Tokenizer};

use crate::Result;
use crate::error::{LearnerError, TOKENIZER};
use crate::tokenizer_json::TokenizerJson;

/// Splits text into token ids.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    tokenizer: Tokenizer,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) mask: u32,
    /// What stands for words that the vocabulary lacks, where anything does.
    unknown: Option<u32>,
    /// The mask token swallows the blanks before it, or behind it.
    swallows: [bool; 2],
}

/// The names that mask tokens go by.
const MASKS: [&str; 2] = ["[MASK]", "<mask>"];

/// The names of the tokens before and behind a text.
const FRAMES: [[&str; 2]; 2] = [["[CLS]", "[SEP]"], ["<s>", "</s>"]];

impl Vocabulary {
    /// Reads a `tokenizer.json` for a model with `size` word embeddings.
    pub(crate) fn new(json: &[u8], size: usize) -> Result<Self> {
        let file = TokenizerJson::new(json)?;
        file.check()?;
        let mut tokenizer = Tokenizer::from_bytes(file.splitting_parts()?)
            .map_err(|error| LearnerError::file(TOKENIZER, error))?;
        let unknown = unknown(&tokenizer, &file)?;
        let most = tokenizer.get_vocab(true).into_values().max();
        let needed = most.map_or(0, |id| id as usize + 1);
        if needed > size {
            let expected = format!("at most {size} tokens, as vocab_size in config.json says");
            let field = "vocabulary";
            return Err(LearnerError::field(TOKENIZER, field, expected, needed));
        }
        let mask = MASKS.iter().find_map(|mask| tokenizer.token_to_id(mask));
        let mask = mask.ok_or_else(|| {
            let expected = "the token [MASK] or <mask> in the vocabulary";
            LearnerError::field(TOKENIZER, "mask token", expected, "none")
        })?;
        let added = tokenizer.get_added_tokens_decoder();
        let swallows = |side: fn(&AddedToken) -> bool| added.get(&mask).is_some_and(side);
        let swallows = [swallows(|mask| mask.lstrip), swallows(|mask| mask.rstrip)];
        // A text that says "[MASK]" means these six characters, not the place to fill in.
        tokenizer.set_encode_special_tokens(true);
        let [start, end] = frame(&tokenizer, &file)?;
        Ok(Self {
            tokenizer,
            start,
            end,
            mask,
            unknown,
            swallows,
        })
    }

    /// The kind of tokenizer.
    pub(crate) fn kind(&self) -> &'static str {
        kind(&self.tokenizer)
    }

    /// The text's tokens, without special ones.
    pub(crate) fn split(&self, text: &str) -> Vec<u32> {
        self.split_parts(&[text]).pop().unwrap_or_default()
    }

    /// The tokens of parts that stand directly one after the other, each with the part that it
    /// ends in: those of the whole, wherever the parts meet within a word.
    pub(crate) fn split_parts(&self, parts: &[&str]) -> Vec<Vec<u32>> {
        let mut split = vec![Vec::new(); parts.len()];
        // No text fails; an empty prompt would still be a valid one.
        let Ok(encoding) = self.tokenizer.encode(parts.concat(), false) else {
            return split;
        };
        let mut ends = parts.iter().scan(0, |end, part| {
            *end += part.len();
            Some(*end)
        });
        let (mut place, mut end) = (0, ends.next().unwrap_or(0));
        for (&id, &(_, last)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            while last > end && place + 1 < split.len() {
                place += 1;
                end = ends.next().unwrap_or(usize::MAX);
            }
            if let Some(tokens) = split.get_mut(place) {
                tokens.push(id);
            }
        }
        split
    }

    /// The tokens of the parts before and behind the mask, without the blanks that the mask token
    /// swallows and those at both ends of the whole.
    pub(crate) fn split_around_mask(&self, before: &[&str], behind: &[&str]) -> [Vec<Vec<u32>>; 2] {
        let (mut before, mut behind) = (before.to_vec(), behind.to_vec());
        let [swallows_before, swallows_behind] = self.swallows;
        trim(before.iter_mut(), str::trim_start);
        if swallows_before {
            trim(before.iter_mut().rev(), str::trim_end);
        }
        if swallows_behind {
            trim(behind.iter_mut(), str::trim_start);
        }
        trim(behind.iter_mut().rev(), str::trim_end);
        [self.split_parts(&before), self.split_parts(&behind)]
    }

    /// The tokens of a word as it stands in a text, with or without a blank before it.
    ///
    /// Byte-level vocabularies have a token for each: `Ġgreat` and `great`.
    pub(crate) fn word(&self, word: &str, blank_before: bool) -> Vec<u32> {
        match blank_before {
            true => self.split(&format!(" {word}")),
            false => self.split(word),
        }
    }

    /// The tokens as text.
    pub(crate) fn spell(&self, ids: &[u32]) -> Vec<String> {
        let spell = |&id| self.tokenizer.id_to_token(id).unwrap_or_default();
        ids.iter().map(spell).collect()
    }

    /// Every entry of the vocabulary by its id.
    pub(crate) fn entries(&self) -> Vec<(u32, String)> {
        let words = self.tokenizer.get_vocab(false).into_iter();
        let mut entries: Vec<_> = words.map(|(token, id)| (id, token)).collect();
        entries.sort_unstable();
        entries
    }

    pub(crate) fn is_unknown(&self, id: u32) -> bool {
        self.unknown == Some(id)
    }
}

/// Trims the first part, and those after it for as long as nothing of them is left.
fn trim<'p, 't: 'p>(
    parts: impl Iterator<Item = &'p mut &'t str>,
    trimmed: impl Fn(&'t str) -> &'t str,
) {
    for part in parts {
        *part = trimmed(part);
        if !part.is_empty() {
            break;
        }
    }
}

fn kind(tokenizer: &Tokenizer) -> &'static str {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(_) => "WordPiece",
        ModelWrapper::BPE(_) => "BPE",
        ModelWrapper::Unigram(_) => "Unigram",
        ModelWrapper::WordLevel(_) => "WordLevel",
    }
}

/// The unknown token of a tokenizer that this program can follow.
fn unknown(tokenizer: &Tokenizer, file: &TokenizerJson) -> Result<Option<u32>> {
    let refused = |field, expected: String, got: String| {
        Err(LearnerError::field(TOKENIZER, field, expected, got))
    };
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(words) => match words.token_to_id(&words.unk_token) {
            // Without it, WordPiece fails on the first word that the vocabulary lacks.
            None => {
                let expected = format!("the unknown token {:?} in the vocabulary", words.unk_token);
                refused("model.unk_token", expected, "none".into())
            }
            id => Ok(id),
        },
        ModelWrapper::BPE(pairs) => match pairs.dropout {
            Some(dropout) if dropout > 0.0 => {
                refused("model.dropout", "none".into(), dropout.to_string())
            }
            _ => Ok(pairs
                .unk_token
                .as_ref()
                .and_then(|unknown| pairs.token_to_id(unknown))),
        },
        ModelWrapper::Unigram(_) => match file.unknown_id() {
            None => refused(
                "model.unk_id",
                "the unknown token's id".into(),
                "none".into(),
            ),
            id => Ok(id),
        },
        ModelWrapper::WordLevel(_) => {
            let expected = "WordPiece, BPE or Unigram".into();
            refused("model", expected, kind(tokenizer).into())
        }
    }
}

/// The tokens around a text: those that the post-processor puts there, or, where there is none,
/// those with the usual names.
fn frame(tokenizer: &Tokenizer, file: &TokenizerJson) -> Result<[u32; 2]> {
    let refused = |expected: String, got: String| {
        LearnerError::field(TOKENIZER, "post_processor", expected, got)
    };
    let id = |token: &String| {
        let id = tokenizer.token_to_id(token);
        id.ok_or_else(|| {
            refused(
                format!("the token {token:?} in the vocabulary"),
                "none".into(),
            )
        })
    };
    match &file.frame()[..] {
        [start, end] => Ok([id(start)?, id(end)?]),
        [] => {
            let named = |[start, end]: [&str; 2]| {
                Some([tokenizer.token_to_id(start)?, tokenizer.token_to_id(end)?])
            };
            let found = FRAMES.into_iter().find_map(named);
            let expected = "a start and an end token, such as [CLS] and [SEP] or <s> and </s>";
            found.ok_or_else(|| refused(expected.into(), "none".into()))
        }
        tokens => {
            let expected = "one token before a text and one behind it".into();
            Err(refused(expected, format!("{} tokens", tokens.len())))
        }
    }
}
