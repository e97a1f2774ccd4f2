//! `tokenizer.json`: any part replaced, no mask token, more tokens than embeddings.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::config::odd_values;
use crate::{Files, refused, seeds};

const FILE: &str = "tokenizer.json";

/// Paths to every value but the vocabulary's single words, of which a few are enough.
fn paths(value: &Value, path: &str, all: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        _ => Vec::new(),
    };
    for (key, child) in children.into_iter().take(12) {
        let key = key.replace('~', "~0").replace('/', "~1");
        let path = format!("{path}/{key}");
        paths(child, &path, all);
        all.push(path);
    }
}

fn removed(json: &mut Value, path: &str) {
    let (parent, key) = path.rsplit_once('/').unwrap();
    match json.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.remove(key)),
        Some(Value::Array(items)) => drop(items.remove(key.parse().unwrap())),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_part_replaced_or_removed_does_no_harm(
        model in seeds(),
        index in any::<prop::sample::Index>(),
        value in prop::option::of(odd_values()),
    ) {
        let mut json: Value = serde_json::from_slice(model.tokenizer).unwrap();
        let mut all = Vec::new();
        paths(&json, "", &mut all);
        let path = index.get(&all);
        match value {
            Some(value) => *json.pointer_mut(path).unwrap() = value,
            None => removed(&mut json, path),
        }
        let mut files = Files::new(model);
        files.tokenizer = json.to_string().into_bytes();
        let _ = files.try_out();
    }

    #[test]
    fn damaged_bytes_do_no_harm(
        model in seeds(),
        share in 0.0..0.99,
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut files = Files::new(model);
        let place = (files.tokenizer.len() as f64 * share) as usize;
        files.tokenizer[place] = byte;
        if cut {
            files.tokenizer.truncate(place);
            refused(&files, &[FILE]);
        } else {
            let _ = files.try_out();
        }
    }
}

#[test]
fn a_missing_mask_token_is_named() {
    for model in golden::MODELS {
        let mask = match model.name {
            "roberta" => "<mask>",
            _ => "[MASK]",
        };
        let text = std::str::from_utf8(model.tokenizer).unwrap();
        let mut files = Files::new(model);
        files.tokenizer = text.replace(mask, "[HIDDEN]").into_bytes();
        refused(&files, &[FILE, "mask", mask]);
    }
}

#[test]
fn more_tokens_than_embeddings_are_refused() {
    for model in golden::MODELS {
        let mut files = Files::new(model);
        let mut json: Value = serde_json::from_slice(model.tokenizer).unwrap();
        let size = serde_json::from_slice::<Value>(model.config).unwrap()["vocab_size"].clone();
        let token = json!({
            "id": size, "content": "[ONE MORE]", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true,
        });
        json["added_tokens"].as_array_mut().unwrap().push(token);
        files.tokenizer = json.to_string().into_bytes();
        refused(&files, &[FILE, "vocabulary", &size.to_string()]);
    }
}
