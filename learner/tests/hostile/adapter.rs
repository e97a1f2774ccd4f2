//! PEFT directories: cut off, flipped, of other ranks, models and kinds.

use golden::{MODELS, Model};
use learner::peft::{self, PeftAdapter};
use learner::{LearnerError, Result};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::config::odd_values;
use crate::memory::largest_allocation;
use crate::model::assert_one_line;
use crate::seeds;
use crate::weights::any_field;

/// Reads an adapter for a model; checks memory and the error's words.
fn read(model: &Model, config: &[u8], weights: &[u8]) -> Result<PeftAdapter> {
    let base = model.load();
    let (largest, result) = largest_allocation(|| peft::read(&base, config, weights));
    assert!(largest < 16 << 20, "{largest} bytes at once: {result:?}");
    if let Err(error) = &result {
        assert_one_line(error);
    }
    result
}

#[track_caller]
fn refused(result: Result<PeftAdapter>, named: &[&str]) -> LearnerError {
    let Err(error) = result else {
        panic!("accepted; expected an error that names {named:?}");
    };
    let words = error.to_string();
    for name in named {
        assert!(words.contains(name), "{words:?} does not name {name:?}");
    }
    error
}

/// The model's adapter with one field of its configuration changed.
fn with_field(model: &Model, field: &str, value: Value) -> Result<PeftAdapter> {
    let mut config: Value = serde_json::from_slice(model.adapter_config).unwrap();
    config[field] = value;
    read(model, config.to_string().as_bytes(), model.adapter_weights)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn weights_cut_off_are_refused(model in seeds(), share in 0.0..1.0) {
        let end = (model.adapter_weights.len() as f64 * share) as usize;
        let result = read(model, model.adapter_config, &model.adapter_weights[..end]);
        refused(result, &[peft::WEIGHTS]);
    }

    #[test]
    fn flipped_bits_do_no_harm(
        model in seeds(),
        share in 0.0..1.0,
        bit in 0_u8..8,
        in_config in any::<bool>(),
    ) {
        let mut files = [model.adapter_config.to_vec(), model.adapter_weights.to_vec()];
        let file = &mut files[usize::from(!in_config)];
        let place = (file.len() as f64 * share) as usize;
        file[place] ^= 1_u8 << bit;
        let _ = read(model, &files[0], &files[1]);
    }

    #[test]
    fn a_field_with_any_value_does_no_harm(
        model in seeds(),
        index in any::<prop::sample::Index>(),
        value in odd_values(),
    ) {
        let config: Value = serde_json::from_slice(model.adapter_config).unwrap();
        let fields: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
        let field: &String = index.get(&fields);
        let _ = with_field(model, field, value);
    }

    #[test]
    fn a_lying_header_does_no_harm(
        model in seeds(),
        index in any::<prop::sample::Index>(),
        (field, value) in any_field(),
    ) {
        let (mut header, data) = crate::weights::parts(model.adapter_weights);
        let names: Vec<String> = header.as_object().unwrap().keys().cloned().collect();
        let name: &String = index.get(&names);
        if name != "__metadata__" {
            header[name.as_str()][field] = value;
        }
        let _ = read(model, model.adapter_config, &crate::weights::join(&header, data));
    }
}

#[test]
fn another_rank_is_refused() {
    for model in MODELS {
        for rank in [1, 2, 4, 256] {
            refused(with_field(model, "r", json!(rank)), &["expected", "got"]);
        }
    }
}

#[test]
fn other_kinds_of_adapters_are_named() {
    for (field, value) in [
        ("peft_type", json!("LOHA")),
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("modules_to_save", json!(["cls"])),
        ("rank_pattern", json!({"query": 8})),
    ] {
        let result = with_field(golden::model("bert"), field, value);
        refused(result, &[peft::CONFIG, field]);
    }
}

#[test]
fn an_adapter_of_another_model_is_refused_by_name() {
    for model in MODELS.iter().filter(|model| model.is_of_its_own()) {
        for other in MODELS.iter().filter(|other| other.is_of_its_own()) {
            let result = read(model, other.adapter_config, other.adapter_weights);
            match model.name == other.name {
                true => drop(result.unwrap()),
                false => drop(refused(result, &["expected", "got"])),
            }
        }
    }
}
