//! ALBERT's fields: narrow embeddings, and layers that share their weights (Lan et al. 2020).

use serde::Deserialize;

use super::{Architecture, Config, MOST, activation, parse, within, yes};
use crate::Result;

/// The fields with transformers' defaults.
#[derive(Deserialize)]
struct Fields {
    vocab_size: usize,
    #[serde(default = "embedding_size")]
    embedding_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    #[serde(default = "one")]
    num_hidden_groups: usize,
    #[serde(default = "one")]
    inner_group_num: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "two")]
    type_vocab_size: usize,
    #[serde(default = "layer_norm_eps")]
    layer_norm_eps: f64,
    #[serde(default = "gelu_new")]
    hidden_act: String,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

fn embedding_size() -> usize {
    128
}
fn one() -> usize {
    1
}
fn two() -> usize {
    2
}
fn layer_norm_eps() -> f64 {
    1e-12
}
fn gelu_new() -> String {
    "gelu_new".into()
}

/// Most layers within a group.
const MOST_INNER: usize = 64;

pub(super) fn read(json: &[u8]) -> Result<Config> {
    let fields: Fields = parse(json)?;
    let activation = activation("hidden_act", &fields.hidden_act)?;
    let (groups, inner) = (fields.num_hidden_groups, fields.inner_group_num);
    within("num_hidden_groups", groups, 1, fields.num_hidden_layers)?;
    within("inner_group_num", inner, 1, MOST_INNER)?;
    within("type_vocab_size", fields.type_vocab_size, 1, MOST)?;
    Ok(Config {
        architecture: Architecture::Albert { groups, inner },
        vocab_size: fields.vocab_size,
        embedding_size: fields.embedding_size,
        hidden_size: fields.hidden_size,
        num_hidden_layers: fields.num_hidden_layers,
        num_attention_heads: fields.num_attention_heads,
        intermediate_size: fields.intermediate_size,
        max_position_embeddings: fields.max_position_embeddings,
        first_position: 0,
        type_vocab_size: fields.type_vocab_size,
        layer_norm_eps: fields.layer_norm_eps,
        activation,
        head_activation: activation,
        tied: fields.tie_word_embeddings,
    })
}
