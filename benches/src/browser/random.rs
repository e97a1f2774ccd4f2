//! A random masked BERT with a tokenizer of its own, the same for the same shape.

use half::f16;
use learner::testing::{self, SPECIAL, pack, pack_as};
use safetensors::Dtype;
use serde_json::json;

/// Sizes of a model.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub layers: usize,
    pub hidden: usize,
    pub heads: usize,
    pub intermediate: usize,
    pub vocabulary: usize,
    /// Whether the file's numbers have 16 bits.
    pub half: bool,
}

/// Four layers of 256.
pub const MINI: Shape = Shape {
    layers: 4,
    hidden: 256,
    heads: 4,
    intermediate: 1024,
    vocabulary: 8192,
    half: false,
};

/// Six layers of 384.
pub const SMALL: Shape = Shape {
    layers: 6,
    hidden: 384,
    heads: 12,
    intermediate: 1536,
    vocabulary: 30_522,
    half: false,
};

/// The shape of BERT-base (Devlin et al. 2019), in the 16 bits that it is handed out in.
pub const BASE: Shape = Shape {
    layers: 12,
    hidden: 768,
    heads: 12,
    intermediate: 3072,
    vocabulary: 30_522,
    half: true,
};

/// Most tokens of a prompt.
const POSITIONS: usize = 128;

/// The words that the pattern and the labels need.
const NAMED: [&str; 5] = [".", "it", "was", "great", "terrible"];

impl Shape {
    /// `config.json`
    pub fn config(&self) -> Vec<u8> {
        let config = json!({
            "architectures": ["BertForMaskedLM"],
            "model_type": "bert",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": POSITIONS,
            "type_vocab_size": 2,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "layer_norm_eps": 1e-12,
            "pad_token_id": 0,
            "tie_word_embeddings": true,
        });
        config.to_string().into_bytes()
    }

    /// The words `w0`, `w1`, … of which texts are made.
    pub fn words(&self) -> usize {
        self.vocabulary - SPECIAL.len() - NAMED.len()
    }

    /// `tokenizer.json`
    pub fn tokenizer(&self) -> Vec<u8> {
        let named = SPECIAL.iter().chain(&NAMED).map(|word| (*word).to_owned());
        let words = named.chain((0..self.words()).map(|word| format!("w{word}")));
        let vocabulary: serde_json::Map<String, serde_json::Value> = words
            .enumerate()
            .map(|(id, word)| (word, id.into()))
            .collect();
        let added = SPECIAL.iter().enumerate().map(|(id, token)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        });
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added.collect::<Vec<_>>(),
            "normalizer": null,
            "pre_tokenizer": { "type": "BertPreTokenizer" },
            "post_processor": {
                "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
            },
            "decoder": null,
            "model": {
                "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocabulary,
            },
        });
        tokenizer.to_string().into_bytes()
    }

    /// `model.safetensors`
    pub fn weights(&self, seed: u32) -> Vec<u8> {
        let shape = testing::Shape {
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            intermediate: self.intermediate,
            positions: POSITIONS,
        };
        let tensors = testing::weights_for(shape, self.vocabulary, seed);
        match self.half {
            false => pack(&tensors),
            true => pack_as(&tensors, Dtype::F16, |values| {
                let halves = values.iter().map(|value| f16::from_f32(*value));
                halves.flat_map(f16::to_le_bytes).collect()
            }),
        }
    }
}
