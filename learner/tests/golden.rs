//! The learner against PyTorch, transformers and PEFT: `tests/golden/README.md`.
//!
//! `cargo test -p learner --test golden -- --nocapture` prints the errors reached.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use golden::{TOLERANCE, check, check_default_strings, check_strings, every_model, table};

#[test]
fn numbers_equal_pytorch() {
    let rows: Vec<_> = every_model().flat_map(check).collect();
    println!("{}", table(&rows));
    let far: Vec<_> = rows
        .into_iter()
        .filter(|row| row.error > TOLERANCE)
        .collect();
    assert!(far.is_empty(), "beyond {TOLERANCE:e}:\n{}", table(&far));
}

#[test]
fn odd_strings_have_the_ids_of_tokenizers() {
    for model in every_model() {
        println!("{}: {} strings", model.name, check_strings(model));
    }
    println!("default: {} strings", check_default_strings());
}
