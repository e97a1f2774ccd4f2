//! Experiments of federated learning on a virtual clock: the real machines, the real learner.
//!
//! A [`Plan`] is read from a file and flags; [`launch`] checks all of it, runs it on all cores,
//! goes on where it was interrupted, and writes [`Results`]. The rounds go through `fl_core`'s
//! `Room` and `Session`, frame by frame, and `learner::LocalRound` is the work: what differs from
//! production is only that frames need no socket and time is a number.

mod chance;
mod checkpoint;
mod document;
mod error;
mod experiment;
mod federation;
mod figures;
mod launch;
mod materials;
mod plan;
mod report;
mod results;
mod run;
mod scene;
mod work;
mod workers;

pub use document::Document;
pub use error::{Result, SimulateError};
pub use experiment::{
    Attack, Attackers, Data, Dropouts, EvaluationSettings, Experiment, Method, RoundShape, Sample,
    Split, Stragglers,
};
pub use figures::{EvaluationFigures, RoundFigures, RunFigures, SoftFigures};
pub use launch::{Loader, Observer, launch};
pub use materials::Materials;
pub use plan::{Plan, Point};
pub use results::{PointResults, Results, SUMMARY, check_summary};
pub use workers::Workers;
