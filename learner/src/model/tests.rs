//! The model against candle_transformers' BERT, and every bad file by its error.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertForMaskedLM, Config as Reference};
use safetensors::Dtype;
use serde_json::{Value, json};

use super::*;
use crate::Encoded;
use crate::testing::{self, Architecture, Files, NamedTensor, Shape};
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
    let words = crate::verbalizer::label_words(base.vocabulary(), &labels, true).unwrap();
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
        ("model_type", json!("gpt2"), "or modernbert, got gpt2"),
        ("model_type", json!("roberta"), "lm_head.dense.weight"),
        ("model_type", json!(null), "config.json cannot be read"),
        ("hidden_act", json!("quick_gelu"), "or silu, got quick_gelu"),
        ("is_decoder", json!(true), "expected false, got true"),
        ("num_hidden_layers", json!(9999), "expected 1 to 1024"),
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
    let words = json!({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"});
    let got = error(&|tokenizer| tokenizer["model"] = words.clone());
    let expected = "model: expected WordPiece, BPE or Unigram, got WordLevel";
    assert!(got.contains(expected), "{got}");
    let chance = json!({"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.5});
    let got = error(&|tokenizer| tokenizer["model"] = chance.clone());
    assert!(
        got.contains("model.dropout: expected none, got 0.5"),
        "{got}"
    );
    let vague = json!({"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": null});
    let got = error(&|tokenizer| tokenizer["model"] = vague.clone());
    assert!(got.contains("model.unk_id: expected"), "{got}");
    let got = error(&|tokenizer| {
        tokenizer["post_processor"] = json!({
            "type": "TemplateProcessing", "pair": [], "special_tokens": {
                "[CLS]": { "id": "[CLS]", "ids": [2], "tokens": ["[CLS]"] },
            },
            "single": [{ "SpecialToken": { "id": "[CLS]", "type_id": 0 } },
                { "Sequence": { "id": "A", "type_id": 0 } }],
        });
    });
    assert!(got.contains("behind it, got 1 tokens"), "{got}");
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

/// The files of a tiny model, with its configuration changed.
fn changed(architecture: Architecture, fields: Value) -> Files {
    let mut files = architecture.files(Shape::TINY, 1);
    let mut config: Value = serde_json::from_slice(&files.config).unwrap();
    let fields = fields.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(fields);
    files.config = config.to_string().into_bytes();
    files
}

#[test]
fn each_architecture_refuses_what_it_does_not_follow() {
    let cases = [
        (
            Architecture::Roberta,
            json!({"pad_token_id": 63}),
            "more than pad_token_id + 1, 64",
        ),
        (
            Architecture::Roberta,
            json!({"pad_token_id": 1 << 30}),
            "below vocab_size",
        ),
        (
            Architecture::DistilBert,
            json!({"activation": "tanh"}),
            "activation: expected gelu",
        ),
        (
            Architecture::DistilBert,
            json!({"dim": 33}),
            "a divisor of hidden_size 33",
        ),
        (
            Architecture::Albert,
            json!({"num_hidden_groups": 3}),
            "expected 1 to 2, got 3",
        ),
        (
            Architecture::Albert,
            json!({"inner_group_num": 0}),
            "expected 1 to 64, got 0",
        ),
        (
            Architecture::Albert,
            json!({"inner_group_num": 2}),
            "albert_layers.1.attention.query",
        ),
        (
            Architecture::Electra,
            json!({"embedding_size": 8}),
            "expected shape [60, 8]",
        ),
        (
            Architecture::ModernBert,
            json!({"num_attention_heads": 32}),
            "whole even number",
        ),
        (
            Architecture::ModernBert,
            json!({"layer_types": ["full_attention"]}),
            "each of 2 layers",
        ),
        (
            Architecture::ModernBert,
            json!({"layer_types": ["full_attention", "linear"]}),
            "or sliding_attention, got linear",
        ),
        (
            Architecture::ModernBert,
            json!({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}),
            "expected default, got yarn",
        ),
        (
            Architecture::ModernBert,
            json!({"rope_scaling": {"factor": 2}}),
            "expected null",
        ),
        (
            Architecture::ModernBert,
            json!({"mlp_bias": true}),
            "model.layers.0.mlp.Wi.bias",
        ),
        (
            Architecture::ModernBert,
            json!({"tie_word_embeddings": false}),
            "decoder.weight",
        ),
    ];
    for (architecture, fields, expected) in cases {
        let got = changed(architecture, fields)
            .load()
            .unwrap_err()
            .to_string();
        assert!(got.contains(expected), "{got}");
    }
}

#[test]
fn both_ages_of_modernbert_are_read() {
    let older = changed(Architecture::ModernBert, json!({}));
    let newer = changed(
        Architecture::ModernBert,
        json!({
            "layer_types": ["full_attention", "sliding_attention"],
            "global_rope_theta": 7.0, "local_rope_theta": 8.0,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 160_000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
            },
        }),
    );
    let [older, newer] = [older, newer].map(|files| scores(files.load().unwrap()));
    assert_eq!(older, newer);
    let all = json!({"layer_types": ["full_attention", "full_attention"]});
    let global = scores(changed(Architecture::ModernBert, all).load().unwrap());
    assert_ne!(older, global, "the local layer's window is seen");
}

#[test]
fn a_model_without_its_head_is_called_that() {
    for architecture in Architecture::ALL {
        let mut files = architecture.files(Shape::TINY, 1);
        let bytes = files.weights.clone();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let prefix = match architecture {
            Architecture::ModernBert => "model.",
            other => other.name(),
        };
        let body = tensors.iter().filter(|(name, _)| name.starts_with(prefix));
        files.weights = safetensors::serialize(body, None).unwrap();
        let got = files.load().unwrap_err();
        assert!(matches!(got, LearnerError::MissingHead { .. }), "{got}");
    }
}

#[test]
fn a_decoder_equal_to_the_words_is_tied() {
    let tensors = testing::weights(Shape::TINY, 1);
    let (_, shape, values) = tensors[0].clone();
    let decoder = ("cls.predictions.decoder.weight".to_owned(), shape, values);
    let [alone, both, apart] = [
        vec![tensors.clone()],
        vec![[tensors.clone(), vec![decoder.clone()]].concat()],
        vec![tensors, vec![decoder]],
    ]
    .map(|shards| {
        let shards: Vec<Vec<u8>> = shards
            .iter()
            .map(|tensors| testing::pack(tensors))
            .collect();
        let shards = shards
            .iter()
            .map(|shard| WeightFile::from_bytes("w", shard));
        let files = Files::new(Shape::TINY, 1);
        let base = BaseModel::from_files(&files.config, &files.tokenizer, shards);
        base.unwrap().parameters()
    });
    assert_eq!([alone, alone], [both, apart]);
}
