//! Masked language models tuned by prompt, verbalizer and LoRA: the same code natively and in
//! WebAssembly.
//!
//! Files come in as bytes, texts as `&str`; there are no sockets, files, clocks or threads of its
//! own here. [`BaseModel`] holds the frozen tensors, [`Learner`] asks them a task through an
//! adapter, [`Trainer`] changes the adapter, and [`LocalRound`] is one client's work of one
//! LP-FL round in steps short enough to yield between.

pub mod calibration;
mod client;
mod config;
mod dropout;
pub mod error;
pub mod evaluation;
mod full;
mod job;
mod learner;
mod lora;
pub mod merge;
mod model;
mod ops;
mod optimizer;
pub mod peft;
mod prompt;
mod round;
mod schedule;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod texts;
mod tokenize;
mod tokenizer_json;
mod trainer;
mod tuning;
mod verbalizer;
mod weights;
mod words;

pub use client::{Holding, LocalClient};
pub use dropout::{Noise, Place};
pub use error::LearnerError;
pub use evaluation::{Evaluation, Tally};
pub use job::{Batch, BatchRow, Job, JobResult, Split};
pub use learner::Learner;
pub use model::{BaseModel, LoraInfo, ModelInfo};
pub use optimizer::AdamW;
pub use prompt::{Cloze, Encoded};
pub use round::{ClientTexts, LocalRound, Outcome, Step};
pub use schedule::Schedule;
pub use trainer::{Example, Gradient, StepResult, Trainer};
pub use tuning::Tuning;
pub use weights::WeightFile;
pub use words::{Proposal, WordSearch};

/// What fallible functions of this crate return.
pub type Result<T, E = LearnerError> = std::result::Result<T, E>;
