//! The model against candle_transformers' BERT, and every bad file by its error.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertForMaskedLM, Config as Reference};
use safetensors::Dtype;
use serde_json::{Value, json};

use super::*;
use crate::Encoded;
use crate::testing::{self, Files, NamedTensor, Shape};
use crate::{Learner, LearnerError};

const TEXTS: [&str; 5] = [
    "the food was cold and slow",
    "",
    "great",
    "a very warm room , not a poor place but fine",
    "zqx",
];

fn scores(base: BaseModel) -> Vec<Vec<f32>> {
    let learner = Learner::new(base, &testing::task(), &testing::lora()).unwrap();
    let texts: Vec<Encoded> = TEXTS.iter().map(|text| learner.encode(text)).collect();
    learner.scores(&texts).unwrap()
}

#[track_caller]
fn assert_close(got: &[Vec<f32>], expected: &[Vec<f32>], tolerance: f32) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
        assert!(
            (got - expected).abs() < tolerance,
            "{got} is not {expected}"
        );
    }
}

/// The mean logits of the label words by candle_transformers, one text at a time.
fn reference(tensors: &[NamedTensor]) -> Vec<Vec<f32>> {
    let tensor = |(name, shape, values): &NamedTensor| {
        let tensor = Tensor::from_vec(values.clone(), &shape[..], &Device::Cpu);
        (name.clone(), tensor.unwrap())
    };
    let mut tensors: HashMap<String, Tensor> = tensors.iter().map(tensor).collect();
    let words = tensors["bert.embeddings.word_embeddings.weight"].clone();
    let bias = tensors["cls.predictions.bias"].clone();
    let decoder = "cls.predictions.decoder.weight".to_owned();
    tensors.entry(decoder).or_insert(words);
    tensors.insert("cls.predictions.decoder.bias".into(), bias);
    let config: Reference = serde_json::from_value(testing::config(Shape::TINY)).unwrap();
    let builder = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let model = BertForMaskedLM::load(builder, &config).unwrap();
    let base = Files::new(Shape::TINY, 1).load().unwrap();
    let learner = Learner::new(base.clone(), &testing::task(), &testing::lora()).unwrap();
    let labels = testing::task().labels;
    let words = crate::verbalizer::label_words(base.vocabulary(), &labels).unwrap();
    let logits = |text: &&str| {
        let encoded = learner.encode(text);
        let prompt = &encoded.prompts()[0];
        let ids = Tensor::new(prompt.ids(), &Device::Cpu)
            .unwrap()
            .unsqueeze(0)
            .unwrap();
        let types = ids.zeros_like().unwrap();
        let logits = model.forward(&ids, &types, None).unwrap();
        let logits: Vec<Vec<f32>> = logits.squeeze(0).unwrap().to_vec2().unwrap();
        let logits = &logits[prompt.mask()];
        let mean = |words: &Vec<u32>| {
            let sum: f32 = words.iter().map(|&id| logits[id as usize]).sum();
            sum / words.len() as f32
        };
        words.iter().map(mean).collect()
    };
    TEXTS.iter().map(logits).collect()
}

#[test]
fn mask_logits_equal_candle_transformers() {
    let got = scores(Files::new(Shape::TINY, 1).load().unwrap());
    let expected = reference(&testing::weights(Shape::TINY, 1));
    assert_close(&got, &expected, 1e-4);
    assert!(
        (got[0][0] - got[3][0]).abs() > 1e-3,
        "texts make a difference"
    );
}

#[test]
fn a_decoder_of_its_own_is_used() {
    let mut tensors = testing::weights(Shape::TINY, 1);
    let words = testing::weights(Shape::TINY, 2).swap_remove(0);
    let name = "cls.predictions.decoder.weight".to_owned();
    tensors.push((name, words.1, words.2));
    let mut files = Files::new(Shape::TINY, 1);
    files.weights = testing::pack(&tensors);
    assert_close(&scores(files.load().unwrap()), &reference(&tensors), 1e-4);
}

#[test]
fn half_precision_and_old_names_are_read() {
    let mut files = Files::new(Shape::TINY, 1);
    let expected = scores(files.load().unwrap());
    let old = |name: &str| {
        let name = name.strip_prefix("bert.").unwrap_or(name);
        let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
        name.replace("LayerNorm.bias", "LayerNorm.beta")
    };
    let tensors = testing::weights(Shape::TINY, 1);
    let renamed = tensors
        .iter()
        .cloned()
        .map(|(name, s, v)| (old(&name), s, v));
    let renamed: Vec<NamedTensor> = renamed.collect();
    files.weights = testing::pack(&renamed);
    assert_close(&scores(files.load().unwrap()), &expected, 1e-6);

    let f16 = |v: &f32| half::f16::from_f32(*v).to_le_bytes();
    let bf16 = |v: &f32| half::bf16::from_f32(*v).to_le_bytes();
    files.weights = testing::pack_as(&tensors, Dtype::F16, |v| v.iter().flat_map(f16).collect());
    assert_close(&scores(files.load().unwrap()), &expected, 0.05);
    files.weights = testing::pack_as(&tensors, Dtype::BF16, |v| v.iter().flat_map(bf16).collect());
    assert_close(&scores(files.load().unwrap()), &expected, 0.5);
}

#[test]
fn sizes_are_told() {
    let base = Files::new(Shape::TINY, 1).load().unwrap();
    assert_eq!(
        (base.hidden(), base.layers(), base.positions()),
        (32, 2, 64)
    );
    let values = testing::weights(Shape::TINY, 1);
    let count: usize = values.iter().map(|(_, _, values)| values.len()).sum();
    assert_eq!(base.parameters(), count as u64);
}

fn config_error(field: &str, value: Value) -> String {
    let mut files = Files::new(Shape::TINY, 1);
    let mut config = testing::config(Shape::TINY);
    config[field] = value;
    files.config = config.to_string().into_bytes();
    files.load().unwrap_err().to_string()
}

#[test]
fn configurations_of_other_models_are_refused() {
    let cases = [
        ("model_type", json!("roberta"), "expected bert, got roberta"),
        ("hidden_act", json!("relu"), "expected gelu, got relu"),
        (
            "position_embedding_type",
            json!("relative"),
            "expected absolute",
        ),
        (
            "num_attention_heads",
            json!(5),
            "a divisor of hidden_size 32, got 5",
        ),
        (
            "num_attention_heads",
            json!(0),
            "expected 1 to 16777216, got 0",
        ),
        ("hidden_size", json!(1u64 << 40), "expected 1 to 16777216"),
        ("layer_norm_eps", json!(-1), "expected 0 to 1, got -1"),
        ("hidden_size", json!("many"), "config.json cannot be read"),
        (
            "num_hidden_layers",
            json!(3),
            "bert.encoder.layer.2.attention.self.query.weight",
        ),
        (
            "hidden_size",
            json!(36),
            "expected shape [60, 36], got [60, 32]",
        ),
        ("vocab_size", json!(9), "expected at most 9 tokens"),
    ];
    for (field, value, expected) in cases {
        let got = config_error(field, value);
        assert!(got.contains(expected), "{got}");
    }
}

#[test]
fn tokenizers_that_do_not_fit_are_refused() {
    let error = |change: &dyn Fn(&mut Value)| {
        let mut files = Files::new(Shape::TINY, 1);
        let mut tokenizer = testing::tokenizer();
        change(&mut tokenizer);
        files.tokenizer = tokenizer.to_string().into_bytes();
        files.load().unwrap_err().to_string()
    };
    let rename = |from: &'static str| {
        move |tokenizer: &mut Value| {
            let text = tokenizer.to_string().replace(from, "[OTHER]");
            *tokenizer = serde_json::from_str(&text).unwrap();
        }
    };
    let got = error(&rename("[MASK]"));
    assert!(
        got.contains("mask token: expected the token [MASK]"),
        "{got}"
    );
    let got = error(&|tokenizer| tokenizer["model"]["unk_token"] = json!("[NONE]"));
    assert!(
        got.contains("expected the unknown token \"[NONE]\""),
        "{got}"
    );
    let bpe = json!({"type": "BPE", "vocab": {"a": 0}, "merges": []});
    let got = error(&|tokenizer| tokenizer["model"] = bpe.clone());
    assert!(got.contains("model: expected WordPiece, got BPE"), "{got}");
    let got = error(&|tokenizer| *tokenizer = json!(3));
    assert!(got.starts_with("tokenizer.json cannot be read"), "{got}");
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let error = |change: &dyn Fn(&mut Vec<NamedTensor>)| {
        let mut tensors = testing::weights(Shape::TINY, 1);
        change(&mut tensors);
        let mut files = Files::new(Shape::TINY, 1);
        files.weights = testing::pack(&tensors);
        files.load().unwrap_err()
    };
    let got = error(&|tensors| tensors.retain(|(name, ..)| name != "cls.predictions.bias"));
    assert!(
        matches!(&got, LearnerError::MissingTensor { tensor, expected, .. }
        if tensor == "cls.predictions.bias" && expected[..] == [60])
    );
    let got = error(&|tensors| tensors[1].1 = vec![32, 64]);
    assert!(
        matches!(got, LearnerError::TensorShape { expected, got, .. }
        if expected == [64, 32] && got == [32, 64])
    );
    let got = error(&|tensors| tensors[0].2[7] = f32::INFINITY);
    assert!(matches!(got, LearnerError::TensorValue { index: 7, .. }));

    let mut files = Files::new(Shape::TINY, 1);
    let integers = |values: &[f32]| {
        values
            .iter()
            .flat_map(|v| (*v as i32).to_le_bytes())
            .collect()
    };
    files.weights = testing::pack_as(&testing::weights(Shape::TINY, 1), Dtype::I32, integers);
    let got = files.load().unwrap_err();
    assert!(
        matches!(&got, LearnerError::TensorType { got, .. } if got == "I32"),
        "{got}"
    );
    files.weights = b"<!doctype html>".to_vec();
    let got = files.load().unwrap_err().to_string();
    assert!(got.starts_with("model.safetensors cannot be read"), "{got}");
}
