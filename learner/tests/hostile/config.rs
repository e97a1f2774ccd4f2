//! `config.json`: any field with any value, and bytes that are no JSON.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{Files, refused, seeds};

const FILE: &str = "config.json";

/// What nobody should write there.
pub(crate) fn odd_values() -> impl Strategy<Value = Value> {
    let values = [
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1),
        json!(2),
        json!(7),
        json!(0.5),
        json!(1e30),
        json!(-1e-30),
        json!(1 << 24),
        json!((1 << 24) + 1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("40"),
        json!("gelu"),
        json!("a line\nand another"),
        json!("x".repeat(100_000)),
        json!([]),
        json!([1, 2, 3]),
        json!(vec!["full_attention"; 100]),
        json!({}),
        json!({"rope_theta": -1}),
    ];
    prop::sample::select(values.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_field_with_any_value_does_no_harm(
        model in seeds(),
        index in any::<prop::sample::Index>(),
        value in odd_values(),
    ) {
        let mut files = Files::new(model);
        let mut config: Value = serde_json::from_slice(model.config).unwrap();
        let fields: Vec<String> = config.as_object().unwrap().keys().cloned().collect();
        config[index.get(&fields)] = value;
        files.config = config.to_string().into_bytes();
        let _ = files.try_out();
    }

    #[test]
    fn sizes_that_the_weights_deny_are_refused(model in seeds(), factor in 2_u64..1 << 17) {
        for field in ["vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size"] {
            let mut config: Value = serde_json::from_slice(model.config).unwrap();
            let Some(size) = config[field].as_u64() else { continue };
            if field == "num_hidden_layers" && config["model_type"] == "albert" {
                continue; // its layers are one and the same: any number of them fits
            }
            config[field] = json!(size * factor);
            let mut files = Files::new(model);
            files.config = config.to_string().into_bytes();
            refused(&files, &["expected"]);
        }
    }

    #[test]
    fn damaged_bytes_do_no_harm(
        model in seeds(),
        share in 0.0..0.99,
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut files = Files::new(model);
        let place = (files.config.len() as f64 * share) as usize;
        files.config[place] = byte;
        if cut {
            files.config.truncate(place);
            refused(&files, &[FILE]);
        } else {
            let _ = files.try_out();
        }
    }
}

#[test]
fn an_unknown_kind_of_model_is_named() {
    let mut files = Files::new(golden::model("bert"));
    files.config = br#"{"model_type": "gpt2"}"#.to_vec();
    refused(&files, &[FILE, "model_type", "gpt2"]);
}

#[test]
fn json_nested_without_end_is_refused() {
    for opening in ["[", "{\"a\":"] {
        let mut files = Files::new(golden::model("bert"));
        files.config = opening.repeat(1 << 20).into_bytes();
        refused(&files, &[FILE]);
    }
}
