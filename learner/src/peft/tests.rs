//! Adapters as PEFT's files: round trips, names, and files that do not fit.

use fl_core::adapter::Matrix;
use fl_core::settings::LoraTarget;
use proptest::prelude::*;
use safetensors::Dtype;

use super::*;
use crate::testing::{Files, NamedTensor, Shape, pack, pack_as};
use crate::tuning::Tuning;

const TARGETS: [LoraTarget; 6] = [
    LoraTarget::Query,
    LoraTarget::Key,
    LoraTarget::Value,
    LoraTarget::AttentionOutput,
    LoraTarget::FeedForwardIn,
    LoraTarget::FeedForwardOut,
];

thread_local! {
    static BASE: BaseModel = Files::new(Shape::TINY, 1).load().unwrap();
}

fn base() -> BaseModel {
    BASE.with(Clone::clone)
}

fn lora(targets: &[LoraTarget]) -> LoraSettings {
    LoraSettings {
        rank: 4,
        alpha: 8.0,
        targets: targets.to_vec(),
        ..LoraSettings::default()
    }
}

/// An adapter with values in both matrices.
fn adapter(lora: &LoraSettings, seed: u32) -> Adapter {
    let mut adapter = Tuning::Lora(lora.clone()).initial(&base(), seed);
    for (index, value) in adapter
        .matrices
        .values_mut()
        .flat_map(|m| &mut m.values)
        .enumerate()
    {
        *value += ((index as u32 ^ seed) as f32).sin();
    }
    adapter
}

fn config_value(lora: &LoraSettings) -> Value {
    serde_json::from_slice(&config(&base(), lora, "default")).unwrap()
}

fn bytes(config: &Value) -> Vec<u8> {
    config.to_string().into_bytes()
}

/// The tensors of an adapter with their names changed.
fn tensors(adapter: &Adapter, rename: impl Fn(&str) -> String) -> Vec<NamedTensor> {
    let tensor =
        |(name, m): (&String, &Matrix)| (rename(name), vec![m.rows, m.columns], m.values.clone());
    adapter.matrices.iter().map(tensor).collect()
}

fn any_lora() -> impl Strategy<Value = LoraSettings> {
    let targets = prop::sample::subsequence(TARGETS.to_vec(), 1..=6);
    let top_layers = prop::option::of(Just(1));
    let numbers = (1u32..9, 0.01f32..99.0, 0.0f32..0.9);
    (numbers, any::<bool>(), targets, top_layers).prop_map(
        |((rank, alpha, dropout), stabilised, targets, top_layers)| LoraSettings {
            rank,
            alpha,
            dropout,
            scaling: match stabilised {
                true => LoraScaling::RankStabilised,
                false => LoraScaling::Standard,
            },
            targets,
            top_layers,
        },
    )
}

proptest! {
    #[test]
    fn written_files_are_read_back(lora in any_lora(), seed: u32) {
        let adapter = adapter(&lora, seed % 1000);
        let read = read(&base(), &config(&base(), &lora, "small"), &weights(&adapter)).unwrap();
        let base_model = Some("small".to_owned());
        prop_assert_eq!(read, PeftAdapter { base_model, lora, adapter });
    }

    #[test]
    fn other_bytes_never_panic(
        json in "[\\[\\]{}\":,a-z_0-9.]{0,80}", body in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let lora = lora(&[LoraTarget::Query]);
        let good = weights(&adapter(&lora, 1));
        prop_assert!(read(&base(), json.as_bytes(), &good).is_err());
        prop_assert!(read(&base(), &config(&base(), &lora, "x"), &body).is_err());
    }

    #[test]
    fn damaged_files_never_panic(
        place: prop::sample::Index, value: u8, cut: prop::sample::Index, which in 0usize..12
    ) {
        let lora = lora(&[LoraTarget::Query, LoraTarget::FeedForwardOut]);
        let (good, body) = (config(&base(), &lora, "x"), weights(&adapter(&lora, 1)));
        // Most of the file is values, so aim at the header.
        let mut damaged = body.clone();
        damaged[place.index(1500)] = value;
        let _ = read(&base(), &good, &damaged);
        damaged.truncate(cut.index(body.len()));
        prop_assert!(read(&base(), &good, &damaged).is_err());
        let mut fields = serde_json::from_slice::<Value>(&good).unwrap();
        let names = ["r", "lora_alpha", "lora_dropout", "bias", "peft_type", "use_rslora",
            "target_modules", "rank_pattern", "use_dora", "init_lora_weights", "modules_to_save",
            "layers_to_transform"];
        for odd in [json!(-1), json!(1e300), json!([[1]]), json!({"a": 1}), json!("é"), json!(0)] {
            fields[names[which]] = odd;
            let _ = read(&base(), &bytes(&fields), &body);
        }
    }
}

#[test]
fn config_has_the_fields_of_peft() {
    let lora = LoraSettings {
        dropout: 0.1,
        scaling: LoraScaling::RankStabilised,
        ..lora(&[LoraTarget::Query])
    };
    let config = config_value(&lora);
    let expected = json!({
        "base_model_name_or_path": "default", "bias": "none", "fan_in_fan_out": false,
        "inference_mode": true, "init_lora_weights": true, "layers_pattern": null,
        "layers_to_transform": null, "lora_alpha": 8, "lora_dropout": 0.1,
        "modules_to_save": null, "peft_type": "LORA", "r": 4, "target_modules": ["query"],
        "task_type": null, "use_dora": false, "use_rslora": true,
    });
    assert_eq!(config, expected);
}

#[test]
fn names_and_types_of_other_programs_are_read() {
    let lora = lora(&[LoraTarget::Query, LoraTarget::Value]);
    let adapter = adapter(&lora, 2);
    let mut config = config_value(&lora);
    let named = tensors(&adapter, |name| name.replace(".weight", ".default.weight"));
    assert_eq!(
        read(&base(), &bytes(&config), &pack(&named))
            .unwrap()
            .adapter,
        adapter
    );

    let halves = pack_as(&named, Dtype::F16, |values| {
        values
            .iter()
            .flat_map(|v| half::f16::from_f32(*v).to_le_bytes())
            .collect()
    });
    let brains = pack_as(&named, Dtype::BF16, |values| {
        values
            .iter()
            .flat_map(|v| half::bf16::from_f32(*v).to_le_bytes())
            .collect()
    });
    for (body, tolerance) in [(halves, 1e-3), (brains, 1e-2)] {
        let got = read(&base(), &bytes(&config), &body).unwrap().adapter;
        for (name, matrix) in &adapter.matrices {
            for (got, value) in got.matrices[name].values.iter().zip(&matrix.values) {
                assert!(
                    (got - value).abs() <= tolerance * value.abs().max(1e-2),
                    "{name}"
                );
            }
        }
    }

    // What PEFT leaves out has its defaults, and the file says what a text means.
    for modules in [json!("all-linear"), json!(".*query|.*value"), Value::Null] {
        config["target_modules"] = modules;
        config["lora_alpha"] = Value::Null;
        let read = read(&base(), &bytes(&config), &weights(&adapter)).unwrap();
        assert_eq!((read.lora.alpha, &read.lora.targets), (8.0, &lora.targets));
    }
}

#[test]
fn each_kind_of_adapter_that_is_not_supported_is_named() {
    let lora = lora(&[LoraTarget::Query]);
    let body = weights(&adapter(&lora, 1));
    let cases = [
        (
            "peft_type",
            json!("LOHA"),
            "expected \"LORA\", got \"LOHA\"",
        ),
        ("peft_type", Value::Null, "expected \"LORA\", got null"),
        (
            "bias",
            json!("lora_only"),
            "expected \"none\", got \"lora_only\"",
        ),
        (
            "use_dora",
            json!(true),
            "plain LoRA alone is supported, got true",
        ),
        ("modules_to_save", json!(["cls"]), "got [\"cls\"]"),
        ("rank_pattern", json!({"query": 2}), "got {\"query\":2}"),
        ("alpha_pattern", json!({"query": 2}), "got {\"query\":2}"),
        (
            "layers_to_transform",
            json!([1]),
            "expected the layer of bert.encoder.layer.0.attention",
        ),
        ("layers_to_transform", json!(0), "layer.1"),
        (
            "layers_to_transform",
            json!(["1"]),
            "a layer's number, or a list of them, got [\"1\"]",
        ),
        ("fan_in_fan_out", json!(true), "got true"),
        (
            "init_lora_weights",
            json!("pissa_niter_4"),
            "got \"pissa_niter_4\"",
        ),
        ("r", json!(0), "expected 1 to 256, got 0"),
        ("r", json!(2.5), "whole number from 1 to 256, got 2.5"),
        ("lora_alpha", json!("big"), "expected a number, got \"big\""),
        (
            "lora_dropout",
            json!(1),
            "expected from 0 to below 1, got 1",
        ),
        ("use_rslora", json!(1), "expected true or false, got 1"),
        (
            "target_modules",
            json!([1]),
            "expected a list of names or a text, got [1]",
        ),
        (
            "target_modules",
            json!(["value"]),
            "layer.0.attention.self.query",
        ),
    ];
    for (field, value, expected) in cases {
        let mut config = config_value(&lora);
        config[field] = value;
        // A rank of zero has matrices of no rows, so only the configuration is wrong there.
        let empty = pack(&tensors_without_rows(&lora));
        let body = if config["r"] == 0 { &empty } else { &body };
        let error = read(&base(), &bytes(&config), body)
            .unwrap_err()
            .to_string();
        let start = format!("adapter_config.json, {field}: ");
        assert!(
            error.starts_with(&start) && error.contains(expected),
            "{error}"
        );
    }
}

fn tensors_without_rows(lora: &LoraSettings) -> Vec<NamedTensor> {
    let none = |(name, shape, _): NamedTensor| {
        let shape = shape.iter().map(|&size| if size == 4 { 0 } else { size });
        (name, shape.collect(), Vec::new())
    };
    let adapter = adapter(lora, 1);
    tensors(&adapter, str::to_owned)
        .into_iter()
        .map(none)
        .collect()
}

#[test]
fn each_matrix_that_does_not_fit_is_named() {
    let lora = lora(&[LoraTarget::Query]);
    let adapter = adapter(&lora, 1);
    let layer = "base_model.model.bert.encoder.layer.1.attention.self";
    let error = |change: &dyn Fn(&mut Vec<NamedTensor>)| {
        let mut tensors = tensors(&adapter, str::to_owned);
        change(&mut tensors);
        let config = bytes(&config_value(&lora));
        read(&base(), &config, &pack(&tensors))
            .unwrap_err()
            .to_string()
    };
    let b = tensors(&adapter, str::to_owned)
        .iter()
        .position(|(name, ..)| name == &format!("{layer}.query.lora_B.weight"))
        .unwrap();

    let got = error(&|t| t[b].1 = vec![4, 32]);
    let expected = format!(
        "adapter_model.safetensors, matrix {layer}.query.lora_B.weight: \
         expected shape [32, 4], got [4, 32]"
    );
    assert_eq!(got, expected);
    let got = error(&|t| t[b].0 = format!("{layer}.query.lora_magnitude_vector.weight"));
    assert!(
        got.contains("expected a name base_model.model.….lora_A.weight or"),
        "{got}"
    );
    let got = error(&|t| t[b].0 = t[b].0.replace("layer.1", "layer.7"));
    assert!(got.contains("layer.7"), "{got}");
    assert!(
        got.contains("such as bert.encoder.layer.0.attention.self.query, got none"),
        "{got}"
    );
    let got = error(&|t| t[b].0 = t[b].0.replace("query.lora_B", "query.lora_A.default"));
    assert!(got.contains("shape [4, 32]"), "{got}");
    let got = error(&|t| drop(t.remove(b)));
    assert!(
        got.contains("query.lora_B.weight: expected it beside its other half"),
        "{got}"
    );
    let got = error(&|t| t.retain(|(name, ..)| !name.contains("layer.1")));
    assert!(got.contains("layer.1"), "{got}");
    assert!(
        got.contains("expected it as well as bert.encoder.layer.0"),
        "{got}"
    );
    let got = error(&|t| t[b].2[5] = f32::INFINITY);
    assert!(
        got.ends_with("lora_B.weight: expected finite values, got inf"),
        "{got}"
    );
    let got = error(&|t| t.clear());
    assert_eq!(
        got,
        "adapter_model.safetensors cannot be read: it holds no LoRA matrices"
    );

    let integers = pack_as(&tensors(&adapter, str::to_owned), Dtype::I32, |values| {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    });
    let got = read(&base(), &bytes(&config_value(&lora)), &integers);
    let got = got.unwrap_err().to_string();
    assert!(got.ends_with("expected f32, f16 or bf16, got I32"), "{got}");
}

#[test]
fn adapter_of_another_base_model_is_refused() {
    let lora = lora(&[LoraTarget::Query]);
    let other = Files::new(Shape::MINI, 1).load().unwrap();
    let adapter = Tuning::Lora(lora.clone()).initial(&other, 1);
    let got = read(&base(), &config(&other, &lora, "mini"), &weights(&adapter));
    let got = got.unwrap_err().to_string();
    assert!(
        got.contains("expected shape [4, 32], got [4, 256]"),
        "{got}"
    );
}
