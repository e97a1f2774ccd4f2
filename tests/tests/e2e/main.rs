//! Whole rounds end to end: the built server, real browsers by WebDriver, and a native client.
//!
//! `cargo xtask test --only end-to-end` names the programs in the environment and runs these tests
//! one after the other. Every wait is for a condition; what a failed scenario leaves behind lies
//! under `target/e2e/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its scenario"
)]

mod browser;
mod driver;
mod native;
mod page;
mod pictures;
mod programs;
mod scenarios;
mod scene;
mod server;
mod settings;
mod wait;
