//! What every decoder promises, as functions that take any bytes and panic where a promise breaks.
//!
//! `cargo xtask fuzz` runs them under libFuzzer (`libfuzzer/`), beginning with [`seeds`]. An ordinary
//! `cargo test` replays the seeds, damaged ones, and what fuzzers have found (`regressions/`).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a promise that breaks has to panic: that is how a fuzzer sees it"
)]

mod body;
mod compression;
mod frames;
mod memory;
mod peft;
mod same;
pub mod seeds;
mod task;
mod texts;

/// A target: it panics where a promise breaks.
pub type Target = fn(&[u8]);

/// All targets by their names, which are those of their programs, seeds and regressions.
pub const TARGETS: [(&str, Target); 7] = [
    ("client_frames", frames::of_clients),
    ("server_frames", frames::of_servers),
    ("body", body::any),
    ("compression", compression::any),
    ("task", task::any),
    ("texts", texts::any),
    ("peft", peft::any),
];

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.unwrap_or_else(|| panic!("there is no target {name}"));
    target(bytes);
}
