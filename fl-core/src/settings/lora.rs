//! The settings of LoRA: which matrices are trained beside the frozen weights, and how.

use serde::{Deserialize, Serialize};

use super::{positive, within};
use crate::error::SettingsError;

/// Shape of the LoRA matrices: `W = W0 + scale · B · A` (Hu et al. 2021).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct LoraSettings {
    /// Rank r of A (r × in) and B (out × r). 1 to 256.
    pub rank: u32,
    /// Numerator of the scale. Above 0, at most 4096.
    pub alpha: f32,
    /// How the scale follows from alpha and rank.
    pub scaling: LoraScaling,
    /// Probability with which each input of A is left out of a training step; the others are
    /// divided by 1 − dropout. From 0 to below 1. Scoring leaves nothing out.
    pub dropout: f32,
    /// The adapted projections.
    pub targets: Vec<LoraTarget>,
    /// Layers that are adapted, counted from the top: from 1 to all of the model's, or none for
    /// all. What the layers below give for a text never changes, and is computed once.
    pub top_layers: Option<u32>,
}

impl Default for LoraSettings {
    fn default() -> Self {
        Self {
            rank: 8,
            alpha: 16.0,
            scaling: LoraScaling::Standard,
            dropout: 0.0,
            targets: vec![LoraTarget::Query, LoraTarget::Value],
            top_layers: None,
        }
    }
}

/// How the factor before B · A follows from alpha and rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum LoraScaling {
    /// alpha / rank (Hu et al. 2021).
    #[default]
    Standard,
    /// alpha / √rank, which keeps large ranks learning (Kalajdzievski 2023, arXiv 2312.03732).
    RankStabilised,
}

/// A projection of a transformer layer that LoRA can adapt.
///
/// A model that computes several of them with one matrix, as ModernBERT does with query, key and
/// value, adapts that matrix when any of them is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// The factor before B · A.
    pub fn scale(&self) -> f32 {
        let rank = self.rank as f32;
        match self.scaling {
            LoraScaling::Standard => self.alpha / rank,
            LoraScaling::RankStabilised => self.alpha / rank.sqrt(),
        }
    }

    /// The lowest adapted layer of a model with so many, counted from 0 at the bottom.
    pub fn lowest_layer(&self, layers: usize) -> usize {
        let top = self.top_layers.and_then(|top| usize::try_from(top).ok());
        top.map_or(0, |top| layers.saturating_sub(top))
    }

    /// Checks every field against its documented range.
    ///
    /// # Errors
    /// The first field out of range, as `lora.` and its name.
    pub fn check(&self) -> Result<(), SettingsError> {
        within("lora.rank", self.rank.into(), 1.0, 256.0)?;
        positive("lora.alpha", self.alpha.into(), 4096.0)?;
        if !(0.0..1.0).contains(&self.dropout) {
            let (expected, got) = ("from 0 to below 1", self.dropout.to_string());
            return Err(SettingsError::new("lora.dropout", expected, got));
        }
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
        if self.top_layers == Some(0) {
            let expected = "at least 1, or none for all layers";
            return Err(SettingsError::new("lora.top_layers", expected, "0"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_follows_the_scaling() {
        let scale = |scaling| {
            let settings = LoraSettings {
                rank: 16,
                alpha: 8.0,
                scaling,
                ..LoraSettings::default()
            };
            settings.scale()
        };
        assert_eq!(scale(LoraScaling::Standard), 0.5);
        assert_eq!(scale(LoraScaling::RankStabilised), 2.0);
    }

    #[test]
    fn each_bad_field_is_named() {
        type Spoil = fn(&mut LoraSettings);
        let cases: [(&str, Spoil); 7] = [
            ("lora.rank", |s| s.rank = 0),
            ("lora.alpha", |s| s.alpha = f32::NAN),
            ("lora.dropout", |s| s.dropout = 1.0),
            ("lora.dropout", |s| s.dropout = f32::NAN),
            ("lora.targets", |s| s.targets = Vec::new()),
            ("lora.targets", |s| s.targets = vec![LoraTarget::Query; 2]),
            ("lora.top_layers", |s| s.top_layers = Some(0)),
        ];
        for (field, spoil) in cases {
            let mut settings = LoraSettings::default();
            spoil(&mut settings);
            assert_eq!(settings.check().unwrap_err().field, field);
        }
    }
}
