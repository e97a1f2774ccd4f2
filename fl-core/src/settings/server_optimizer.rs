//! The settings of the server's optimizer.

use serde::{Deserialize, Serialize};

use super::{positive, within};
use crate::error::SettingsError;

/// What the server makes of a round's step Δ (Reddi et al. 2021, arXiv 2003.00295); the formulas
/// are in `fl-core/src/aggregate/server_optimizer.rs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum ServerOptimizer {
    /// The step as it is.
    #[default]
    None,
    /// Steps add up with momentum (Hsu et al. 2019).
    #[serde(rename = "fedavgm")]
    FedAvgM {
        /// η, above 0, at most 10; 1 keeps the step's size.
        #[serde(default = "one")]
        learning_rate: f32,
        /// β from 0 to below 1.
        #[serde(default = "momentum")]
        momentum: f32,
    },
    /// Adam over the rounds' steps.
    #[serde(rename = "fedadam")]
    FedAdam(Adaptive),
    /// Adam with a variance that grows slowly.
    #[serde(rename = "fedyogi")]
    FedYogi(Adaptive),
}

/// The settings that FedAdam and FedYogi share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Adaptive {
    /// η: about the change of a value in one round. Above 0, at most 10.
    pub learning_rate: f32,
    /// β₁ from 0 to below 1.
    pub beta1: f32,
    /// β₂ from 0 to below 1.
    pub beta2: f32,
    /// τ: the larger, the less the steps' sizes are evened out. 1e-9 to 1.
    pub tau: f32,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            learning_rate: 0.01,
            beta1: 0.9,
            beta2: 0.99,
            tau: 1e-3,
        }
    }
}

fn one() -> f32 {
    1.0
}

fn momentum() -> f32 {
    0.9
}

impl ServerOptimizer {
    pub(super) fn check(self) -> Result<(), SettingsError> {
        match self {
            Self::None => Ok(()),
            Self::FedAvgM {
                learning_rate,
                momentum,
            } => {
                rate(learning_rate)?;
                below_one("momentum", momentum)
            }
            Self::FedAdam(adaptive) | Self::FedYogi(adaptive) => {
                rate(adaptive.learning_rate)?;
                below_one("beta1", adaptive.beta1)?;
                below_one("beta2", adaptive.beta2)?;
                let field = "aggregation.server_optimizer.tau";
                within(field, adaptive.tau.into(), 0.999e-9, 1.0)
            }
        }
    }
}

fn rate(value: f32) -> Result<(), SettingsError> {
    let field = "aggregation.server_optimizer.learning_rate";
    positive(field, value.into(), 10.0)
}

fn below_one(field: &str, value: f32) -> Result<(), SettingsError> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(SettingsError::new(
        format!("aggregation.server_optimizer.{field}"),
        "from 0 to below 1",
        value.to_string(),
    ))
}
