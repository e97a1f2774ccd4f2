//! The settings of local training: the optimizer and its learning rate.

use serde::{Deserialize, Serialize};

use super::{positive, within};
use crate::error::SettingsError;

/// What the learning rate is multiplied with from one round to the next where a task of two labels
/// calibrates on unlabelled texts and nothing else is said: their median is the threshold, known
/// before the first round, and after a few rounds a client would learn its own few texts by heart.
pub const CALIBRATED_ROUND_DECAY: f32 = 0.5;

/// AdamW with linear warm-up and linear decay over the steps of one local round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct TrainingSettings {
    /// Peak learning rate of the first round.
    pub learning_rate: f32,
    /// Factor on the peak learning rate from each round to the next, above 0 and at most 1. None:
    /// [`CALIBRATED_ROUND_DECAY`] where a task of two labels calibrates on unlabelled texts and
    /// every client trains in every round, else 1. A rate that falls over the rounds is also what
    /// FedAvg needs to converge on unlike clients (Li et al. 2020, arXiv 1907.02189).
    pub round_decay: Option<f32>,
    /// Passes over a client's gold and soft examples in one round.
    pub epochs: u32,
    /// Texts per step.
    pub batch_size: u32,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f32,
    /// AdamW's β₁.
    pub beta1: f32,
    /// AdamW's β₂.
    pub beta2: f32,
    /// AdamW's ε.
    pub epsilon: f32,
    /// Share of a round's steps over which the learning rate rises from zero.
    pub warmup: f32,
    /// What the learning rate does after the warm-up.
    pub decay: Decay,
    /// The gradient's global L2 norm is cut to this; 0 leaves it alone.
    pub clip_norm: f32,
    /// FedProx's μ: the loss grows by μ/2·‖w − w_t‖², with w_t the round's global adapter (Li et
    /// al. 2020); 0 leaves it alone.
    pub proximal: f32,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        Self {
            learning_rate: 7e-4,
            round_decay: None,
            epochs: 3,
            batch_size: 8,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            warmup: 0.1,
            decay: Decay::Linear,
            clip_norm: 1.0,
            proximal: 0.0,
        }
    }
}

/// The learning rate after the warm-up, within one local round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Decay {
    /// Stays at the peak.
    Constant,
    /// Falls in a straight line to zero at the last step.
    Linear,
}

impl TrainingSettings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        within(
            "training.learning_rate",
            self.learning_rate.into(),
            0.0,
            1.0,
        )?;
        if let Some(decay) = self.round_decay {
            positive("training.round_decay", decay.into(), 1.0)?;
        }
        within("training.epochs", self.epochs.into(), 1.0, 100.0)?;
        within("training.batch_size", self.batch_size.into(), 1.0, 256.0)?;
        within("training.weight_decay", self.weight_decay.into(), 0.0, 1.0)?;
        within("training.beta1", self.beta1.into(), 0.0, 0.999_999)?;
        within("training.beta2", self.beta2.into(), 0.0, 0.999_999)?;
        within("training.epsilon", self.epsilon.into(), 1e-12, 0.1)?;
        within("training.warmup", self.warmup.into(), 0.0, 1.0)?;
        within("training.clip_norm", self.clip_norm.into(), 0.0, 1e6)?;
        within("training.proximal", self.proximal.into(), 0.0, 1e6)
    }
}
