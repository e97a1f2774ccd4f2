//! The server over real sockets: HTTP, whole rounds, hostile peers, restarts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod hostile;
mod http;
mod isolation;
mod limits;
mod long_life;
mod metrics;
mod nats;
mod openapi;
mod ready;
mod recording;
mod restart;
mod sessions;
mod support;
mod tls;
