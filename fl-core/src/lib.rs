//! Federated learning without I/O: what server and clients share.
//!
//! No sockets, files, clock or threads here: time and randomness are arguments, and the state
//! machines return what is to be done. `tests/` compares this crate's dependencies with a list.

pub mod adapter;
pub mod aggregate;
pub mod codec;
pub mod compression;
pub mod error;
mod fault;
pub mod member;
pub mod partition;
pub mod protocol;
pub mod random;
pub mod replay;
pub mod room;
mod round;
pub mod session;
pub mod settings;
pub mod soft_labels;
pub mod task;
