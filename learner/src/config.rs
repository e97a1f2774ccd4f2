//! The configuration of a BERT model, and what of it this program can follow.

use serde::Deserialize;

use crate::Result;
use crate::error::{CONFIG, LearnerError};

/// The fields of a Hugging Face `config.json` that decide shapes and arithmetic.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) max_position_embeddings: usize,
    #[serde(default = "type_vocab_size")]
    pub(crate) type_vocab_size: usize,
    #[serde(default = "layer_norm_eps")]
    pub(crate) layer_norm_eps: f64,
    #[serde(default = "hidden_act")]
    hidden_act: String,
    #[serde(default = "position_embedding_type")]
    position_embedding_type: String,
}

/// Read first, so that a model of another kind is called that and not a BERT with fields missing.
#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    model_type: String,
}

// The defaults of transformers' BertConfig.
fn type_vocab_size() -> usize {
    2
}
fn layer_norm_eps() -> f64 {
    1e-12
}
fn hidden_act() -> String {
    "gelu".into()
}
fn position_embedding_type() -> String {
    "absolute".into()
}

impl Config {
    pub(crate) fn new(json: &[u8]) -> Result<Self> {
        let unreadable = |error| LearnerError::file(CONFIG, error);
        let kind: Kind = serde_json::from_slice(json).map_err(unreadable)?;
        if kind.model_type != "bert" {
            let field = "model_type";
            return Err(LearnerError::field(CONFIG, field, "bert", kind.model_type));
        }
        let config: Self = serde_json::from_slice(json).map_err(unreadable)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let same = |field, expected: &str, got: &str| match got == expected {
            true => Ok(()),
            false => Err(LearnerError::field(CONFIG, field, expected, got)),
        };
        same("hidden_act", "gelu", &self.hidden_act)?;
        let absolute = &self.position_embedding_type;
        same("position_embedding_type", "absolute", absolute)?;
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ];
        for (field, got) in sizes {
            if !(1..=1 << 24).contains(&got) {
                return Err(LearnerError::field(CONFIG, field, "1 to 16777216", got));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            let expected = format!("a divisor of hidden_size {}", self.hidden_size);
            let got = self.num_attention_heads;
            let field = "num_attention_heads";
            return Err(LearnerError::field(CONFIG, field, expected, got));
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            let got = self.layer_norm_eps;
            return Err(LearnerError::field(CONFIG, "layer_norm_eps", "0 to 1", got));
        }
        Ok(())
    }
}
