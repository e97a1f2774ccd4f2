//! ModernBERT's fields, as transformers 4 and 5 write them (Warner et al. 2024).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Architecture, Config, MOST, MOST_LAYERS, activation, gelu, parse, within, yes};
use crate::Result;
use crate::error::{CONFIG, LearnerError};

/// What ModernBERT has beyond BERT.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModernBert {
    /// How far each layer's tokens look.
    pub(crate) spans: Vec<Span>,
    /// θ of the rotary embedding in global layers.
    pub(crate) global_theta: f64,
    /// θ in local layers.
    pub(crate) local_theta: f64,
    /// Farthest place that a token of a local layer attends to.
    pub(crate) window: usize,
    pub(crate) norm_bias: bool,
    pub(crate) attention_bias: bool,
    pub(crate) mlp_bias: bool,
    pub(crate) head_bias: bool,
    pub(crate) decoder_bias: bool,
}

/// Whether a layer's tokens attend to all others or to those nearby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Global,
    Local,
}

/// The fields with transformers' defaults.
#[derive(Deserialize)]
struct Fields {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    #[serde(default = "gelu")]
    hidden_activation: String,
    #[serde(default = "positions")]
    max_position_embeddings: usize,
    #[serde(default = "norm_eps")]
    norm_eps: f64,
    #[serde(default)]
    norm_bias: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default = "yes")]
    decoder_bias: bool,
    #[serde(default)]
    classifier_bias: bool,
    #[serde(default = "gelu")]
    classifier_activation: String,
    #[serde(default = "local_attention")]
    local_attention: usize,
    #[serde(default = "every")]
    global_attn_every_n_layers: usize,
    layer_types: Option<Vec<String>>,
    global_rope_theta: Option<f64>,
    #[serde(default = "local_theta")]
    local_rope_theta: Option<f64>,
    rope_parameters: Option<BTreeMap<String, Option<Rope>>>,
    rope_scaling: Option<Value>,
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

/// The rotary embedding of one kind of layers, as transformers 5 writes it.
#[derive(Deserialize)]
struct Rope {
    rope_type: Option<String>,
    rope_theta: Option<f64>,
}

const GLOBAL_THETA: f64 = 160_000.0;
const GLOBAL: &str = "full_attention";
const LOCAL: &str = "sliding_attention";

/// Most tokens of a prompt, whatever the file says: angles are kept for so many places.
const MOST_POSITIONS: usize = 8192;

fn positions() -> usize {
    8192
}
fn norm_eps() -> f64 {
    1e-5
}
fn local_attention() -> usize {
    128
}
fn every() -> usize {
    3
}
fn local_theta() -> Option<f64> {
    Some(10_000.0)
}

impl Fields {
    fn spans(&self) -> Result<Vec<Span>> {
        let layers = self.num_hidden_layers;
        within("num_hidden_layers", layers, 1, MOST_LAYERS)?;
        let every = self.global_attn_every_n_layers;
        let Some(types) = &self.layer_types else {
            within("global_attn_every_n_layers", every, 1, usize::MAX)?;
            let span = |layer: usize| match layer.is_multiple_of(every) {
                true => Span::Global,
                false => Span::Local,
            };
            return Ok((0..layers).map(span).collect());
        };
        if types.len() != layers {
            let expected = format!("one for each of {layers} layers");
            let got = types.len();
            return Err(LearnerError::field(CONFIG, "layer_types", expected, got));
        }
        let span = |name: &String| match name.as_str() {
            GLOBAL => Ok(Span::Global),
            LOCAL => Ok(Span::Local),
            other => {
                let expected = format!("{GLOBAL} or {LOCAL}");
                Err(LearnerError::field(CONFIG, "layer_types", expected, other))
            }
        };
        types.iter().map(span).collect()
    }

    /// θ of a kind of layers: transformers 5's field before transformers 4's.
    fn theta(&self, kind: &str, older: f64) -> Result<f64> {
        let rope = self.rope_parameters.as_ref().and_then(|all| all.get(kind));
        let rope = rope.and_then(Option::as_ref);
        if let Some(got) = rope.and_then(|rope| rope.rope_type.as_deref())
            && got != "default"
        {
            let field = "rope_parameters.rope_type";
            return Err(LearnerError::field(CONFIG, field, "default", got));
        }
        let theta = rope.and_then(|rope| rope.rope_theta).unwrap_or(older);
        if !(theta > 1.0 && theta.is_finite()) {
            return Err(LearnerError::field(CONFIG, "rope_theta", "above 1", theta));
        }
        Ok(theta)
    }
}

pub(super) fn read(json: &[u8]) -> Result<Config> {
    let fields: Fields = parse(json)?;
    if let Some(got) = fields.rope_scaling.as_ref().filter(|got| !got.is_null()) {
        return Err(LearnerError::field(CONFIG, "rope_scaling", "null", got));
    }
    let (hidden, heads) = (fields.hidden_size, fields.num_attention_heads);
    within("num_attention_heads", heads, 1, MOST)?;
    if !hidden.is_multiple_of(2 * heads) {
        let expected = "hidden_size / num_attention_heads to be a whole even number";
        let got = format!("{hidden} / {heads}");
        return Err(LearnerError::field(CONFIG, "hidden_size", expected, got));
    }
    let global_theta = fields.global_rope_theta.unwrap_or(GLOBAL_THETA);
    // An explicit null means the global layers' θ.
    let local_theta = fields.local_rope_theta.unwrap_or(global_theta);
    let modern = ModernBert {
        spans: fields.spans()?,
        global_theta: fields.theta(GLOBAL, global_theta)?,
        local_theta: fields.theta(LOCAL, local_theta)?,
        window: fields.local_attention / 2,
        norm_bias: fields.norm_bias,
        attention_bias: fields.attention_bias,
        mlp_bias: fields.mlp_bias,
        head_bias: fields.classifier_bias,
        decoder_bias: fields.decoder_bias,
    };
    Ok(Config {
        architecture: Architecture::ModernBert(modern),
        vocab_size: fields.vocab_size,
        embedding_size: hidden,
        hidden_size: hidden,
        num_hidden_layers: fields.num_hidden_layers,
        num_attention_heads: heads,
        intermediate_size: fields.intermediate_size,
        max_position_embeddings: fields.max_position_embeddings.min(MOST_POSITIONS),
        first_position: 0,
        type_vocab_size: 0,
        layer_norm_eps: fields.norm_eps,
        activation: activation("hidden_activation", &fields.hidden_activation)?,
        head_activation: activation("classifier_activation", &fields.classifier_activation)?,
        tied: fields.tie_word_embeddings,
    })
}
