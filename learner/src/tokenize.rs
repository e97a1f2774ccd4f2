//! The tokenizer of a BERT model, set up so that no text can forge a special token.

use tokenizers::models::ModelWrapper;
use tokenizers::{Model as _, Tokenizer};

use crate::Result;
use crate::error::{LearnerError, TOKENIZER};
use crate::tokenizer_json::splitting_parts;

/// Splits text into token ids.
#[derive(Clone, Debug)]
pub(crate) struct Vocabulary {
    tokenizer: Tokenizer,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) mask: u32,
}

impl Vocabulary {
    /// Reads a `tokenizer.json` for a model with `size` word embeddings.
    pub(crate) fn new(json: &[u8], size: usize) -> Result<Self> {
        let mut tokenizer = Tokenizer::from_bytes(splitting_parts(json)?)
            .map_err(|error| LearnerError::file(TOKENIZER, error))?;
        let ModelWrapper::WordPiece(words) = tokenizer.get_model() else {
            let got = match tokenizer.get_model() {
                ModelWrapper::BPE(_) => "BPE",
                ModelWrapper::Unigram(_) => "Unigram",
                _ => "WordLevel",
            };
            return Err(LearnerError::field(TOKENIZER, "model", "WordPiece", got));
        };
        // Without it, WordPiece fails on the first word that the vocabulary lacks.
        let unknown = words.unk_token.clone();
        if words.token_to_id(&unknown).is_none() {
            let expected = format!("the unknown token {unknown:?} in the vocabulary");
            let field = "model.unk_token";
            return Err(LearnerError::field(TOKENIZER, field, expected, "none"));
        }
        let most = tokenizer.get_vocab(true).into_values().max();
        let needed = most.map_or(0, |id| id as usize + 1);
        if needed > size {
            let expected = format!("at most {size} tokens, as vocab_size in config.json says");
            return Err(LearnerError::field(
                TOKENIZER,
                "vocabulary",
                expected,
                needed,
            ));
        }
        let special = |field, token: &str| {
            let missing = || {
                let expected = format!("the token {token} in the vocabulary");
                LearnerError::field(TOKENIZER, field, expected, "none")
            };
            tokenizer.token_to_id(token).ok_or_else(missing)
        };
        let start = special("start token", "[CLS]")?;
        let end = special("end token", "[SEP]")?;
        let mask = special("mask token", "[MASK]")?;
        // A text that says "[MASK]" means these six characters, not the place to fill in.
        tokenizer.set_encode_special_tokens(true);
        Ok(Self {
            tokenizer,
            start,
            end,
            mask,
        })
    }

    /// The text's tokens, without special ones.
    pub(crate) fn split(&self, text: &str) -> Vec<u32> {
        // WordPiece with an unknown token has no text that it fails on; an empty prompt would
        // still be a valid one.
        self.tokenizer
            .encode_fast(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .unwrap_or_default()
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
        match self.tokenizer.get_model() {
            ModelWrapper::WordPiece(words) => words.token_to_id(&words.unk_token) == Some(id),
            _ => false,
        }
    }
}
