//! The engines of `cargo xtask bench browser` that are written in Rust, in a tab and natively: the
//! learner, and plain candle.

mod candle;
#[cfg(target_arch = "wasm32")]
mod js;
mod lpfl;
mod work;

pub use candle::Candle;
pub use lpfl::Lpfl;
pub use work::{Batch, Files, Prompt, Work};

/// Why an engine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `work.json` is not what this version reads.
    #[error("work.json: {0}")]
    Work(#[from] serde_json::Error),
    /// A batch that the work does not have.
    #[error("the work has {have} batches, asked for number {asked} from 0")]
    Batch {
        /// Batches of the work.
        have: usize,
        /// The number asked for.
        asked: usize,
    },
    /// The learner's own encoding of a text is not that of the work.
    #[error("{text:?} is encoded as {got:?}, the other engines are given {expected:?}")]
    Encoding {
        /// The text.
        text: String,
        /// Token ids in the work.
        expected: Vec<u32>,
        /// Token ids by the learner.
        got: Vec<u32>,
    },
    /// Workers gave scores for a gradient, or the other way round.
    #[error("a job came to another kind of result than it asks for")]
    Result,
    /// The learner failed.
    #[error(transparent)]
    Learner(#[from] learner::LearnerError),
    /// candle failed.
    #[error("candle: {0}")]
    Candle(#[from] plain_candle::Error),
}

/// What fallible functions of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
