//! In a real browser's worker: the learner against PyTorch, transformers and PEFT, by the very
//! functions that the native test calls; see `tests/golden/README.md`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]
#![cfg(target_arch = "wasm32")]

use golden::{TOLERANCE, check, check_default_strings, check_strings, every_model, table};
use wasm_bindgen_test::*;

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
fn numbers_equal_pytorch() {
    let rows: Vec<_> = every_model().flat_map(check).collect();
    console_log!("{}", table(&rows));
    let far: Vec<_> = rows
        .into_iter()
        .filter(|row| row.error > TOLERANCE)
        .collect();
    assert!(far.is_empty(), "beyond {TOLERANCE:e}:\n{}", table(&far));
}

#[wasm_bindgen_test]
fn odd_strings_have_the_ids_of_tokenizers() {
    for model in every_model() {
        console_log!("{}: {} strings", model.name, check_strings(model));
    }
    console_log!("default: {} strings", check_default_strings());
}
