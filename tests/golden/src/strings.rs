//! Two thousand odd strings by every tokenizer.

use learner::BaseModel;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::Deserialize;
use serde_json::Value;

use crate::files::file;
use crate::{Model, model};

/// The strings, a line each, as lists of pieces.
const STRINGS: &[u8] = file!("strings.jsonl");

/// What `tokenizers` makes of the strings, in their order.
#[derive(Deserialize)]
struct Tokens {
    /// Number of ids and their hash.
    hashes: Vec<String>,
    /// The ids of the first strings.
    shown: Vec<Vec<u32>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Once(String),
    Repeated(String, usize),
}

/// Compares the ids of every string; returns how many strings there were.
///
/// # Panics
/// On the first string with other ids than `tokenizers` gives.
pub fn check_strings(model: &Model) -> usize {
    same_ids(model.name, &model.load(), model.tokens)
}

/// The same by the tokenizer of the default model.
///
/// # Panics
/// As [`check_strings`] does.
pub fn check_default_strings() -> usize {
    let tokenizer = file!("../../models/default/tokenizer.json");
    let base = with_tokenizer(tokenizer);
    same_ids("default", &base, file!("default-tokens.json"))
}

fn same_ids(name: &str, base: &BaseModel, tokens: &[u8]) -> usize {
    let tokens: Tokens = serde_json::from_slice(tokens).unwrap();
    let strings = strings();
    assert_eq!(strings.len(), tokens.hashes.len());
    for (index, (text, hash)) in strings.iter().zip(&tokens.hashes).enumerate() {
        let got = base.token_ids(text);
        let start: String = text.chars().take(60).collect();
        if let Some(shown) = tokens.shown.get(index) {
            assert_eq!(&got, shown, "{name}, string {index}: {start:?}");
        }
        let got = format!("{} {:016x}", got.len(), hash_of(&got));
        assert_eq!(
            &got, hash,
            "{name}, string {index}: {start:?}; if the tokenizer is meant to be another one, see \
             tests/golden/README.md"
        );
    }
    strings.len()
}

fn strings() -> Vec<String> {
    let lines = STRINGS.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let pieces: Vec<Piece> = serde_json::from_slice(line).unwrap();
            let piece = |piece| match piece {
                Piece::Once(text) => text,
                Piece::Repeated(text, count) => text.repeat(count),
            };
            pieces.into_iter().map(piece).collect()
        })
        .collect()
}

/// 64-bit FNV-1a of the ids as little-endian numbers.
fn hash_of(ids: &[u32]) -> u64 {
    let bytes = ids.iter().flat_map(|id| id.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The golden BERT with another tokenizer, and word embeddings of zeros for it: the default
/// model's own weights would weigh down every browser test.
fn with_tokenizer(tokenizer: &[u8]) -> BaseModel {
    let bert = model("bert");
    let json: Value = serde_json::from_slice(tokenizer).unwrap();
    let size = json["model"]["vocab"].as_object().unwrap().len();
    let mut config: Value = serde_json::from_slice(bert.config).unwrap();
    config["vocab_size"] = size.into();

    let file = SafeTensors::deserialize(bert.weights).unwrap();
    let mut tensors = file.tensors();
    let mut wide = Vec::new();
    for (name, view) in &tensors {
        if name.ends_with("word_embeddings.weight") || name == "cls.predictions.bias" {
            let mut shape = view.shape().to_vec();
            shape[0] = size;
            let bytes = vec![0; 4 * shape.iter().product::<usize>()];
            wide.push((name.clone(), shape, bytes));
        }
    }
    tensors.retain(|(name, _)| wide.iter().all(|(other, ..)| name != other));
    let wide = wide.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name.clone(), view.unwrap())
    });
    let weights = serialize(tensors.into_iter().chain(wide), None).unwrap();
    BaseModel::from_bytes(config.to_string().as_bytes(), tokenizer, &weights).unwrap()
}
