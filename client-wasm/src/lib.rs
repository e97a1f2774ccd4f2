//! The browser client: one federated client in a Worker.
//!
//! [`driver`] turns the session machine's actions into the learner's work and the page's events;
//! [`client`] runs it on a [`host::Host`]; [`library`] loads models and texts. None of them knows
//! JavaScript, so that native clients are the same program: a tab is the host in `js`, the only
//! module that names JavaScript's types. A tab's work is shared by several workers: [`crew`].

pub mod address;
pub mod client;
pub mod crew;
pub mod download;
pub mod driver;
pub mod faults;
pub mod host;
#[cfg(target_arch = "wasm32")]
pub mod js;
pub mod library;
pub mod messages;
pub mod plan;
