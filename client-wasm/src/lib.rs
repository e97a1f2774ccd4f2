//! The browser client: one federated client in a Worker.

pub mod messages;
