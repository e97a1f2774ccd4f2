//! Compares the learner with the numbers of PyTorch, transformers, PEFT and tokenizers.
//!
//! For tests only: native ones and the browsers' call the same functions, so both compute the very
//! same thing. The files come from the Python program beside it; see README.md.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a check that fails fails the test that calls it"
)]

mod check;
mod files;
mod measure;
mod numbers;
mod strings;

pub use check::{ALL, check};
pub use files::{MODELS, Model, VARIANTS, every_model, model};
pub use measure::{Measured, TOLERANCE, error, table};
pub use numbers::{Numbers, Run};
pub use strings::{check_default_strings, check_strings};
