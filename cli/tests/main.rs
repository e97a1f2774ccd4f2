//! The binary as a person runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod evaluate;
mod fetch;
mod folder;
mod hub;
mod info;
mod log;
mod operating;
mod program;
mod room;
mod secure;
mod simulate;
mod stub;
mod task;
