//! Which of a model's matrices LoRA adapts, and how.

use serde::{Deserialize, Serialize};

use super::within;
use crate::error::SettingsError;

/// Shape of the LoRA matrices: `W = W0 + (alpha / rank) · B · A` (Hu et al. 2021).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct LoraSettings {
    /// Rank r of A (r × in) and B (out × r). 1 to 256.
    pub rank: u32,
    /// Numerator of the scale alpha / rank.
    pub alpha: f32,
    /// The adapted projections, in every layer.
    pub targets: Vec<LoraTarget>,
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            targets: vec![LoraTarget::Query, LoraTarget::Value],
        }
    }
}

impl LoraSettings {
    /// The factor alpha / rank before B · A.
    pub fn scale(&self) -> f32 {
        self.alpha / self.rank as f32
    }
}

/// A projection of a transformer layer that LoRA can adapt.
///
/// A model that computes several of them with one matrix, as ModernBERT does with query, key and
/// value, adapts that matrix when any of them is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum LoraTarget {
    /// The query projection of the self-attention.
    Query,
    /// The key projection.
    Key,
    /// The value projection.
    Value,
    /// The projection of what the heads found.
    AttentionOutput,
    /// The projection into the feed-forward network.
    FeedForwardIn,
    /// The projection out of it.
    FeedForwardOut,
}

impl LoraSettings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        within("lora.rank", self.rank.into(), 1.0, 256.0)?;
        within(
            "lora.alpha",
            self.alpha.into(),
            f64::from(f32::MIN_POSITIVE),
            4096.0,
        )?;
        let mut targets = self.targets.clone();
        targets.sort_unstable();
        targets.dedup();
        if targets.is_empty() || targets.len() != self.targets.len() {
            return Err(SettingsError::new(
                "lora.targets",
                "at least one target, each once",
                format!("{:?}", self.targets),
            ));
        }
        Ok(())
    }
}
