//! DistilBERT's fields, which have names of their own (Sanh et al. 2019).

use serde::Deserialize;

use super::{Architecture, Config, activation, gelu, parse, yes};
use crate::Result;

/// The fields with transformers' defaults.
#[derive(Deserialize)]
struct Fields {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    max_position_embeddings: usize,
    #[serde(default = "gelu")]
    activation: String,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

/// The ε of every layer norm, which is not among the fields.
const EPSILON: f64 = 1e-12;

pub(super) fn read(json: &[u8]) -> Result<Config> {
    let fields: Fields = parse(json)?;
    let activation = activation("activation", &fields.activation)?;
    Ok(Config {
        architecture: Architecture::DistilBert,
        vocab_size: fields.vocab_size,
        embedding_size: fields.dim,
        hidden_size: fields.dim,
        num_hidden_layers: fields.n_layers,
        num_attention_heads: fields.n_heads,
        intermediate_size: fields.hidden_dim,
        max_position_embeddings: fields.max_position_embeddings,
        first_position: 0,
        type_vocab_size: 0,
        layer_norm_eps: EPSILON,
        activation,
        head_activation: activation,
        tied: fields.tie_word_embeddings,
    })
}
