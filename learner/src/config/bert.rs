//! BERT's fields, which RoBERTa and ELECTRA share (Devlin et al. 2019, Liu et al. 2019, Clark et
//! al. 2020).

use serde::Deserialize;

use super::{Architecture, Config, activation, gelu, parse, yes};
use crate::Result;
use crate::error::{CONFIG, LearnerError};
use crate::ops::Activation;

/// The fields with transformers' defaults.
#[derive(Deserialize)]
struct Fields {
    vocab_size: usize,
    embedding_size: Option<usize>,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "type_vocab_size")]
    type_vocab_size: usize,
    #[serde(default = "layer_norm_eps")]
    layer_norm_eps: f64,
    #[serde(default = "gelu")]
    hidden_act: String,
    pad_token_id: Option<usize>,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

fn type_vocab_size() -> usize {
    2
}

fn layer_norm_eps() -> f64 {
    1e-12
}

impl Fields {
    fn config(self, architecture: Architecture) -> Result<Config> {
        let activation = activation("hidden_act", &self.hidden_act)?;
        super::within("type_vocab_size", self.type_vocab_size, 1, super::MOST)?;
        Ok(Config {
            architecture,
            vocab_size: self.vocab_size,
            embedding_size: self.hidden_size,
            hidden_size: self.hidden_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            intermediate_size: self.intermediate_size,
            max_position_embeddings: self.max_position_embeddings,
            first_position: 0,
            type_vocab_size: self.type_vocab_size,
            layer_norm_eps: self.layer_norm_eps,
            activation,
            head_activation: activation,
            tied: self.tie_word_embeddings,
        })
    }
}

pub(super) fn bert(json: &[u8]) -> Result<Config> {
    parse::<Fields>(json)?.config(Architecture::Bert)
}

/// Positions count from behind the padding token's id, and the head's activation is fixed.
pub(super) fn roberta(json: &[u8], name: &'static str) -> Result<Config> {
    let fields: Fields = parse(json)?;
    let padding = fields.pad_token_id.unwrap_or(1);
    if padding >= fields.vocab_size {
        let expected = format!("below vocab_size {}", fields.vocab_size);
        return Err(LearnerError::field(
            CONFIG,
            "pad_token_id",
            expected,
            padding,
        ));
    }
    Ok(Config {
        first_position: padding + 1,
        head_activation: Activation::Gelu,
        ..fields.config(Architecture::Roberta(name))?
    })
}

/// The generator: embeddings may be narrower, and the head's activation is fixed.
pub(super) fn electra(json: &[u8]) -> Result<Config> {
    let fields: Fields = parse(json)?;
    Ok(Config {
        embedding_size: fields.embedding_size.unwrap_or(128),
        head_activation: Activation::Gelu,
        ..fields.config(Architecture::Electra)?
    })
}
