//! Files and texts from anyone: refused in one line that names the file, or used; never a panic,
//! never memory out of proportion.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod adapter;
mod config;
mod memory;
mod model;
mod texts;
mod tokenizer;
mod weights;

use model::{Files, refused, seeds};
