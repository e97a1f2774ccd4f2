//! Tiny random models with a real tokenizer, the same bytes for the same seed, for tests.

mod architectures;
mod tokenizers;

use fl_core::random::{Purpose, generator};
use fl_core::settings::LoraSettings;
use fl_core::task::Task;
use rand::Rng;
use rand::RngExt as _;
use safetensors::Dtype;
use safetensors::tensor::{TensorView, serialize};
use serde_json::json;

use crate::{BaseModel, Learner, Result};

pub use architectures::Architecture;

/// The words of the vocabulary, behind the special tokens and in front of single letters.
pub const WORDS: [&str; 26] = [
    "it", "was", "great", "terrible", "good", "bad", "fine", "poor", "the", "a", "food", "film",
    "room", "place", "very", "not", "and", "but", "warm", "cold", "fast", "slow", ".", ",", "##s",
    "##ly",
];

/// The special tokens, which have the ids from 0 on.
pub const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Sizes of a model.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Transformer layers.
    pub layers: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width inside the feed-forward network.
    pub intermediate: usize,
    /// Most tokens of a prompt.
    pub positions: usize,
}

impl Shape {
    /// Two layers of 32.
    pub const TINY: Self = Self {
        layers: 2,
        hidden: 32,
        heads: 4,
        intermediate: 64,
        positions: 64,
    };

    /// Four layers of 256, the size of the bundled model but for its vocabulary.
    pub const MINI: Self = Self {
        layers: 4,
        hidden: 256,
        heads: 4,
        intermediate: 1024,
        positions: 128,
    };
}

/// The three files of a model.
#[derive(Clone, Debug)]
pub struct Files {
    /// `config.json`
    pub config: Vec<u8>,
    /// `tokenizer.json`
    pub tokenizer: Vec<u8>,
    /// `model.safetensors`
    pub weights: Vec<u8>,
}

impl Files {
    /// A random model of this shape.
    pub fn new(shape: Shape, seed: u32) -> Self {
        Self {
            config: config(shape).to_string().into_bytes(),
            tokenizer: tokenizer().to_string().into_bytes(),
            weights: pack(&weights(shape, seed)),
        }
    }

    /// The model that the files hold.
    ///
    /// # Errors
    /// None for files as [`Self::new`] makes them.
    pub fn load(&self) -> Result<BaseModel> {
        BaseModel::from_bytes(&self.config, &self.tokenizer, &self.weights)
    }
}

/// A task whose words the vocabulary has: `{text} it was {mask} .`, great or terrible.
pub fn task() -> Task {
    let labels: [(&str, &[&str]); 2] = [
        ("negative", &["terrible"]),
        ("positive", &["great", "good"]),
    ];
    Task {
        max_tokens: 32,
        ..Task::new("Toy", "{text} it was {mask} .", &labels)
    }
}

/// LoRA of rank 4 on query and value.
pub fn lora() -> LoraSettings {
    LoraSettings {
        rank: 4,
        alpha: 8.0,
        ..LoraSettings::default()
    }
}

/// A learner of [`task`] on a tiny model.
///
/// # Errors
/// None for the tiny model as it is.
pub fn learner(seed: u32) -> Result<Learner> {
    Learner::new(Files::new(Shape::TINY, seed).load()?, &task(), &lora())
}

/// `count` texts of the vocabulary's words with labels: class 1 speaks of "fine", "warm" and
/// "fast", class 0 of "poor", "cold" and "slow".
pub fn toy_texts(count: usize, seed: u32) -> Vec<(String, usize)> {
    let mut rng = generator(seed, Purpose::Partition, 1);
    let words = [["poor", "cold", "slow"], ["fine", "warm", "fast"]];
    let fillers = ["the", "a", "food", "film", "room", "place", "very", "and"];
    (0..count)
        .map(|index| {
            let label = index % 2;
            let length = rng.random_range(2..8);
            let mut text: Vec<&str> = (0..length)
                .map(|_| fillers[rng.random_range(0..fillers.len())])
                .collect();
            let place = rng.random_range(0..=text.len());
            text.insert(place, words[label][rng.random_range(0..3)]);
            (text.join(" "), label)
        })
        .collect()
}

/// A named tensor of f32 values.
pub type NamedTensor = (String, Vec<usize>, Vec<f32>);

/// Writes tensors as a safetensors file of f32.
pub fn pack(tensors: &[NamedTensor]) -> Vec<u8> {
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
    pack_as(tensors, Dtype::F32, bytes)
}

/// Writes tensors in another number format, which `convert` makes of f32.
#[allow(
    clippy::expect_used,
    reason = "shapes and data are made to fit, in tests only"
)]
pub fn pack_as(
    tensors: &[NamedTensor],
    dtype: Dtype,
    convert: impl Fn(&[f32]) -> Vec<u8>,
) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| convert(values))
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = TensorView::new(dtype, shape.clone(), bytes);
        (name.as_str(), view.expect("data of this shape"))
    });
    serialize(views, None).expect("names that differ")
}

/// The `config.json` of a shape.
pub fn config(shape: Shape) -> serde_json::Value {
    json!({
        "model_type": "bert",
        "vocab_size": vocabulary().len(),
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    })
}

/// Special tokens, [`WORDS`], letters and the ends of words that letters make.
pub fn vocabulary() -> Vec<String> {
    let letters = ('a'..='z').filter(|letter| *letter != 'a');
    let letters = letters.map(String::from);
    let ends = ["e", "r", "t", "n"].map(|end| format!("##{end}"));
    let words = SPECIAL.iter().chain(&WORDS).map(|word| (*word).to_owned());
    words.chain(letters).chain(ends).collect()
}

/// The `tokenizer.json` of the vocabulary.
pub fn tokenizer() -> serde_json::Value {
    let words = vocabulary();
    let vocabulary: serde_json::Map<String, serde_json::Value> = words
        .iter()
        .enumerate()
        .map(|(id, word)| (word.clone(), id.into()))
        .collect();
    let added: Vec<serde_json::Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(id, token)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true,
        },
        "pre_tokenizer": { "type": "BertPreTokenizer" },
        "post_processor": {
            "type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
        },
        "decoder": { "type": "WordPiece", "prefix": "##", "cleanup": true },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    })
}

/// The tensors of a masked BERT, under today's Hugging Face names.
pub fn weights(shape: Shape, seed: u32) -> Vec<NamedTensor> {
    weights_for(shape, vocabulary().len(), seed)
}

/// The same for a vocabulary of this size.
pub fn weights_for(shape: Shape, size: usize, seed: u32) -> Vec<NamedTensor> {
    let hidden = shape.hidden;
    let mut random = Random {
        rng: generator(seed, Purpose::Initialisation, 99),
        tensors: Vec::new(),
    };
    let embeddings = "bert.embeddings";
    for (name, rows) in [
        ("word_embeddings", size),
        ("position_embeddings", shape.positions),
        ("token_type_embeddings", 2),
    ] {
        random.add(
            &format!("{embeddings}.{name}.weight"),
            &[rows, hidden],
            0.0,
            0.5,
        );
    }
    random.layer_norm(&format!("{embeddings}.LayerNorm"), hidden);
    for layer in 0..shape.layers {
        let name = |part: &str| format!("bert.encoder.layer.{layer}.{part}");
        for part in ["query", "key", "value"] {
            random.linear(&name(&format!("attention.self.{part}")), hidden, hidden);
        }
        random.linear(&name("attention.output.dense"), hidden, hidden);
        random.layer_norm(&name("attention.output.LayerNorm"), hidden);
        random.linear(&name("intermediate.dense"), shape.intermediate, hidden);
        random.linear(&name("output.dense"), hidden, shape.intermediate);
        random.layer_norm(&name("output.LayerNorm"), hidden);
    }
    random.linear("cls.predictions.transform.dense", hidden, hidden);
    random.layer_norm("cls.predictions.transform.LayerNorm", hidden);
    random.add("cls.predictions.bias", &[size], 0.0, 0.1);
    random.tensors
}

struct Random<R: Rng> {
    rng: R,
    tensors: Vec<NamedTensor>,
}

impl<R: Rng> Random<R> {
    fn add(&mut self, name: &str, shape: &[usize], middle: f32, spread: f32) {
        let draw = |_| middle + (self.rng.random::<f32>() * 2.0 - 1.0) * spread;
        let values = (0..shape.iter().product()).map(draw).collect();
        self.tensors.push((name.into(), shape.to_vec(), values));
    }

    fn linear(&mut self, name: &str, output: usize, input: usize) {
        let spread = 1.7 / (input as f32).sqrt();
        self.add(&format!("{name}.weight"), &[output, input], 0.0, spread);
        self.add(&format!("{name}.bias"), &[output], 0.0, 0.1);
    }

    fn layer_norm(&mut self, name: &str, size: usize) {
        self.add(&format!("{name}.weight"), &[size], 1.0, 0.2);
        self.add(&format!("{name}.bias"), &[size], 0.0, 0.1);
    }
}
