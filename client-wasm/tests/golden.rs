//! The golden numbers of the browsers' tests are those of the native code as it is.
//!
//! After a change that is meant to change them:
//! `LPFL_WRITE_GOLDEN=1 cargo test -p client-wasm --test golden`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]
#![cfg(not(target_arch = "wasm32"))]

mod numbers;

use numbers::{Numbers, compute, distance};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny.json");

#[test]
fn golden_numbers_are_up_to_date() {
    let now = compute();
    if std::env::var_os("LPFL_WRITE_GOLDEN").is_some() {
        std::fs::write(FILE, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
    }
    let file = std::fs::read_to_string(FILE).unwrap();
    let file: Numbers = serde_json::from_str(&file).unwrap();
    // Not equality: processors with other vector instructions add in another order.
    let near = |what, now: &[f32], file: &[f32], most| {
        let apart = distance(now, file);
        assert!(apart < most, "{what}: {apart:e}; see the head of this test");
    };
    near("loss", &[now.loss], &[file.loss], 1e-5);
    near("norm", &[now.gradient_norm], &[file.gradient_norm], 1e-5);
    near("round's loss", &[now.round_loss], &[file.round_loss], 1e-4);
    for (now, file) in now.soft_labels.iter().zip(&file.soft_labels) {
        near("soft labels", now, file, 1e-5);
    }
    assert_eq!(now.soft_labels.len(), file.soft_labels.len());
    for (what, now, file, most) in [
        ("step", &now.after_one_step, &file.after_one_step, 1e-5),
        ("round", &now.after_a_round, &file.after_a_round, 1e-4),
    ] {
        assert!(now.keys().eq(file.keys()), "{what}: other matrices");
        for (name, values) in now {
            near(what, values, &file[name], most);
        }
    }
}
