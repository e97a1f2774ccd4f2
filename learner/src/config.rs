//! What a model's `config.json` says of its shapes and arithmetic, one architecture a file.

mod albert;
mod bert;
mod distilbert;
mod modernbert;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::error::{CONFIG, LearnerError};
use crate::ops::Activation;

pub(crate) use modernbert::{ModernBert, Span};

/// The shapes and arithmetic of a model, under Hugging Face's names for BERT.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) architecture: Architecture,
    pub(crate) vocab_size: usize,
    /// Width of the embeddings; the hidden states' but for ALBERT and ELECTRA.
    pub(crate) embedding_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) max_position_embeddings: usize,
    /// Position of a prompt's first token.
    pub(crate) first_position: usize,
    /// 0 for models without token types.
    pub(crate) type_vocab_size: usize,
    pub(crate) layer_norm_eps: f64,
    /// Of the feed-forward networks.
    pub(crate) activation: Activation,
    /// Of the head.
    pub(crate) head_activation: Activation,
    /// Whether the word embeddings are the decoder where the weights hold none.
    pub(crate) tied: bool,
}

/// The kinds of models, by `model_type`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Architecture {
    Bert,
    /// With XLM-RoBERTa and CamemBERT, which differ in their vocabularies only.
    Roberta(&'static str),
    DistilBert,
    /// Layers that share their weights: so many groups, and layers within one.
    Albert {
        groups: usize,
        inner: usize,
    },
    Electra,
    ModernBert(ModernBert),
}

impl Architecture {
    /// The `model_type` of `config.json`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta(name) => name,
            Self::DistilBert => "distilbert",
            Self::Albert { .. } => "albert",
            Self::Electra => "electra",
            Self::ModernBert(_) => "modernbert",
        }
    }
}

/// Read first, so that a model of another kind is called that and not a BERT with fields missing.
#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    model_type: String,
    #[serde(default)]
    is_decoder: Option<bool>,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

const KNOWN: &str =
    "bert, roberta, xlm-roberta, camembert, distilbert, albert, electra or modernbert";

/// Largest size of one dimension.
const MOST: usize = 1 << 24;
/// Most layers; those of an ALBERT cost no weights, so nothing else bounds them.
const MOST_LAYERS: usize = 1024;

impl Config {
    pub(crate) fn new(json: &[u8]) -> Result<Self> {
        let kind: Kind = parse(json)?;
        let config = match kind.model_type.as_str() {
            "bert" => bert::bert(json),
            "roberta" => bert::roberta(json, "roberta"),
            "xlm-roberta" => bert::roberta(json, "xlm-roberta"),
            "camembert" => bert::roberta(json, "camembert"),
            "electra" => bert::electra(json),
            "distilbert" => distilbert::read(json),
            "albert" => albert::read(json),
            "modernbert" => modernbert::read(json),
            other => Err(LearnerError::field(CONFIG, "model_type", KNOWN, other)),
        }?;
        if kind.is_decoder == Some(true) {
            return Err(LearnerError::field(CONFIG, "is_decoder", "false", "true"));
        }
        if let Some(got) = kind.position_embedding_type
            && got != "absolute"
        {
            let field = "position_embedding_type";
            return Err(LearnerError::field(CONFIG, field, "absolute", got));
        }
        config.check()?;
        Ok(config)
    }

    /// Most tokens of a prompt.
    pub(crate) fn positions(&self) -> usize {
        self.max_position_embeddings
            .saturating_sub(self.first_position)
    }

    fn check(&self) -> Result<()> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("embedding_size", self.embedding_size),
            ("hidden_size", self.hidden_size),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (field, got) in sizes {
            within(field, got, 1, MOST)?;
        }
        within("num_hidden_layers", self.num_hidden_layers, 1, MOST_LAYERS)?;
        within("type_vocab_size", self.type_vocab_size, 0, MOST)?;
        if self.positions() == 0 {
            let got = self.max_position_embeddings;
            let expected = format!("more than pad_token_id + 1, {}", self.first_position);
            let field = "max_position_embeddings";
            return Err(LearnerError::field(CONFIG, field, expected, got));
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

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| LearnerError::file(CONFIG, error))
}

fn within(field: &'static str, got: usize, least: usize, most: usize) -> Result<()> {
    match (least..=most).contains(&got) {
        true => Ok(()),
        false => {
            let expected = format!("{least} to {most}");
            Err(LearnerError::field(CONFIG, field, expected, got))
        }
    }
}

/// The activation of Hugging Face's name.
fn activation(field: &'static str, name: &str) -> Result<Activation> {
    match name {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast" | "gelu_accurate" => {
            Ok(Activation::GeluTanh)
        }
        "relu" => Ok(Activation::Relu),
        "silu" | "swish" => Ok(Activation::Silu),
        other => {
            let expected = "gelu, gelu_new, gelu_pytorch_tanh, relu or silu";
            Err(LearnerError::field(CONFIG, field, expected, other))
        }
    }
}

fn gelu() -> String {
    "gelu".into()
}

fn yes() -> bool {
    true
}
