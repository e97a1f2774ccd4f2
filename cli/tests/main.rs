//! The binary as a person runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod fetch;
mod hub;
mod info;
mod program;
mod room;
