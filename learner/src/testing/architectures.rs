//! A tiny random model of every architecture, the same bytes for the same seed.

use fl_core::random::{Purpose, generator};
use serde_json::{Value, json};

use super::tokenizers::{byte_level, unigram};
use super::{Files, NamedTensor, Random, Shape, config, pack, tokenizer, vocabulary, weights};

/// The kinds of models, by `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// WordPiece, layer norms behind.
    Bert,
    /// Byte-level BPE, positions from behind the padding token's id.
    Roberta,
    /// WordPiece, no token types.
    DistilBert,
    /// Unigram, narrow embeddings, one layer's weights for all layers.
    Albert,
    /// WordPiece, narrow embeddings.
    Electra,
    /// Byte-level BPE, layer norms before, rotary, a global layer and then a local one.
    ModernBert,
}

/// Width of the embeddings where they are narrower than the hidden states.
const NARROW: usize = 16;

impl Architecture {
    /// Every architecture.
    pub const ALL: [Self; 6] = [
        Self::Bert,
        Self::Roberta,
        Self::DistilBert,
        Self::Albert,
        Self::Electra,
        Self::ModernBert,
    ];

    /// The `model_type` of `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::DistilBert => "distilbert",
            Self::Albert => "albert",
            Self::Electra => "electra",
            Self::ModernBert => "modernbert",
        }
    }

    /// A random model of this shape.
    pub fn files(self, shape: Shape, seed: u32) -> Files {
        let tokenizer = self.tokenizer();
        let size = match self {
            Self::Bert | Self::DistilBert | Self::Electra => vocabulary().len(),
            _ => entries(&tokenizer),
        };
        Files {
            config: self.config(shape, size).to_string().into_bytes(),
            tokenizer: tokenizer.to_string().into_bytes(),
            weights: pack(&self.weights(shape, size, seed)),
        }
    }

    fn tokenizer(self) -> Value {
        match self {
            Self::Bert | Self::DistilBert | Self::Electra => tokenizer(),
            Self::Roberta => byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]),
            Self::ModernBert => byte_level(["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"]),
            Self::Albert => unigram(),
        }
    }

    fn config(self, shape: Shape, size: usize) -> Value {
        let mut config = config(shape);
        config["model_type"] = self.name().into();
        config["vocab_size"] = size.into();
        let more = match self {
            Self::Bert => json!({}),
            Self::Roberta => json!({"pad_token_id": 1, "type_vocab_size": 1}),
            Self::DistilBert => json!({
                "dim": shape.hidden, "n_layers": shape.layers, "n_heads": shape.heads,
                "hidden_dim": shape.intermediate, "activation": "relu",
            }),
            Self::Albert => json!({
                "embedding_size": NARROW, "num_hidden_groups": 1, "inner_group_num": 1,
                "hidden_act": "gelu_new",
            }),
            Self::Electra => json!({"embedding_size": NARROW}),
            Self::ModernBert => json!({
                "local_attention": 6, "global_attn_every_n_layers": 2, "norm_eps": 1e-5,
                "global_rope_theta": 160_000.0, "local_rope_theta": 10_000.0,
            }),
        };
        if let (Some(config), Some(more)) = (config.as_object_mut(), more.as_object()) {
            config.extend(more.clone());
        }
        config
    }

    /// The tensors of the model under today's Hugging Face names.
    fn weights(self, shape: Shape, size: usize, seed: u32) -> Vec<NamedTensor> {
        let mut random = Random {
            rng: generator(seed, Purpose::Initialisation, 98),
            tensors: Vec::new(),
        };
        let (hidden, inner) = (shape.hidden, shape.intermediate);
        let narrow = match self {
            Self::Albert | Self::Electra => NARROW,
            _ => hidden,
        };
        let layers = 0..shape.layers;
        match self {
            Self::Bert => return weights(shape, seed),
            Self::Roberta => {
                random.embeddings("roberta.embeddings", [size, shape.positions, 1], hidden);
                for layer in layers {
                    let name = format!("roberta.encoder.layer.{layer}");
                    random.layer(&name, &BERT_LAYER, [hidden, inner]);
                }
                random.linear("lm_head.dense", hidden, hidden);
                random.layer_norm("lm_head.layer_norm", hidden);
                random.add("lm_head.bias", &[size], 0.0, 0.1);
            }
            Self::DistilBert => {
                random.embeddings("distilbert.embeddings", [size, shape.positions, 0], hidden);
                for layer in layers {
                    let name = format!("distilbert.transformer.layer.{layer}");
                    random.layer(&name, &DISTILBERT_LAYER, [hidden, inner]);
                }
                random.linear("vocab_transform", hidden, hidden);
                random.layer_norm("vocab_layer_norm", hidden);
                random.add("vocab_projector.bias", &[size], 0.0, 0.1);
            }
            Self::Albert => {
                random.embeddings("albert.embeddings", [size, shape.positions, 2], narrow);
                random.linear("albert.encoder.embedding_hidden_mapping_in", hidden, narrow);
                let name = "albert.encoder.albert_layer_groups.0.albert_layers.0";
                random.layer(name, &ALBERT_LAYER, [hidden, inner]);
                random.linear("predictions.dense", narrow, hidden);
                random.layer_norm("predictions.LayerNorm", narrow);
                random.add("predictions.bias", &[size], 0.0, 0.1);
            }
            Self::Electra => {
                random.embeddings("electra.embeddings", [size, shape.positions, 2], narrow);
                random.linear("electra.embeddings_project", hidden, narrow);
                for layer in layers {
                    let name = format!("electra.encoder.layer.{layer}");
                    random.layer(&name, &BERT_LAYER, [hidden, inner]);
                }
                random.linear("generator_predictions.dense", narrow, hidden);
                random.layer_norm("generator_predictions.LayerNorm", narrow);
                random.add("generator_lm_head.bias", &[size], 0.0, 0.1);
            }
            Self::ModernBert => random.modern(shape, size),
        }
        random.tensors
    }
}

/// Names of a layer's parts: query, key, value, output, norm, in, out, norm.
type LayerNames = [&'static str; 8];

const BERT_LAYER: LayerNames = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
];

const DISTILBERT_LAYER: LayerNames = [
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
];

const ALBERT_LAYER: LayerNames = [
    "attention.query",
    "attention.key",
    "attention.value",
    "attention.dense",
    "attention.LayerNorm",
    "ffn",
    "ffn_output",
    "full_layer_layer_norm",
];

impl<R: rand::Rng> Random<R> {
    /// Words, positions and, where there are any, token types.
    fn embeddings(&mut self, name: &str, rows: [usize; 3], width: usize) {
        let tables = ["word", "position", "token_type"];
        for (table, rows) in tables.iter().zip(rows).filter(|(_, rows)| *rows > 0) {
            let name = format!("{name}.{table}_embeddings.weight");
            self.add(&name, &[rows, width], 0.0, 0.5);
        }
        self.layer_norm(&format!("{name}.LayerNorm"), width);
    }

    fn layer(&mut self, layer: &str, names: &LayerNames, [hidden, inner]: [usize; 2]) {
        let name = |part: usize| format!("{layer}.{}", names[part]);
        for part in 0..4 {
            self.linear(&name(part), hidden, hidden);
        }
        self.layer_norm(&name(4), hidden);
        self.linear(&name(5), inner, hidden);
        self.linear(&name(6), hidden, inner);
        self.layer_norm(&name(7), hidden);
    }

    fn modern(&mut self, shape: Shape, size: usize) {
        let (hidden, inner) = (shape.hidden, shape.intermediate);
        let words = "model.embeddings.tok_embeddings.weight";
        self.add(words, &[size, hidden], 0.0, 0.5);
        self.norm_weight("model.embeddings.norm", hidden);
        for layer in 0..shape.layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            if layer > 0 {
                self.norm_weight(&name("attn_norm"), hidden);
            }
            self.norm_weight(&name("mlp_norm"), hidden);
            self.matrix(&name("attn.Wqkv"), 3 * hidden, hidden);
            self.matrix(&name("attn.Wo"), hidden, hidden);
            self.matrix(&name("mlp.Wi"), 2 * inner, hidden);
            self.matrix(&name("mlp.Wo"), hidden, inner);
        }
        self.norm_weight("model.final_norm", hidden);
        self.matrix("head.dense", hidden, hidden);
        self.norm_weight("head.norm", hidden);
        self.add("decoder.bias", &[size], 0.0, 0.1);
    }

    fn norm_weight(&mut self, name: &str, size: usize) {
        self.add(&format!("{name}.weight"), &[size], 1.0, 0.2);
    }

    fn matrix(&mut self, name: &str, output: usize, input: usize) {
        let spread = 1.7 / (input as f32).sqrt();
        self.add(&format!("{name}.weight"), &[output, input], 0.0, spread);
    }
}

/// Number of entries of a tokenizer's vocabulary, an object or a list.
fn entries(tokenizer: &Value) -> usize {
    let vocabulary = &tokenizer["model"]["vocab"];
    let list = vocabulary.as_array().map(Vec::len);
    let object = vocabulary.as_object().map(serde_json::Map::len);
    list.or(object).unwrap_or(0)
}
