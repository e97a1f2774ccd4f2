//! The rules by which updates are brought together, and what each needs.

use serde::{Deserialize, Serialize};

use super::{positive, within};
use crate::aggregate::Trained;
use crate::error::SettingsError;

/// How updates are brought together; each rule's formula and source are in the file of its name
/// in `fl-core/src/aggregate/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Rule {
    /// The weighted mean of A and of B, each by itself.
    #[default]
    #[serde(rename = "fedavg")]
    FedAvg,
    /// A stays as it began; only B is trained, sent and averaged.
    FfaLora,
    /// Odd rounds train, send and average B, even rounds A.
    #[serde(rename = "rolora")]
    RoLora,
    /// The means of A and B, and what they miss is added to the frozen weights.
    #[serde(rename = "fedex_lora")]
    FedExLora,
    /// The clients' products are added to the frozen weights, and the adapter starts anew.
    Flora,
    /// The best approximation of Σ p_k·B_k·A_k that the global rank allows.
    #[serde(rename = "flexlora")]
    FlexLora,
    /// Smaller ranks are padded with zeros, and a client counts by ‖B_k·A_k‖.
    #[serde(rename = "hetlora")]
    HetLora,
    /// The median of each value.
    Median,
    /// The mean of each value without its extremes.
    TrimmedMean {
        /// Share of the clients left out at each end, rounded down. 0 to below 0.5.
        share: f32,
    },
    /// The one update that lies closest to its neighbours.
    Krum {
        /// Most clients that may be hostile; a round needs 2·attackers + 3 updates.
        attackers: u32,
    },
    /// The mean of the updates that lie closest to their neighbours.
    MultiKrum {
        /// Most clients that may be hostile; a round needs 2·attackers + 3 updates.
        attackers: u32,
        /// How many updates go into the mean; 0, the default, for all but `attackers`.
        #[serde(default)]
        chosen: u32,
    },
    /// The weighted mean of updates whose distance from the global adapter is bounded.
    NormBound {
        /// Most distance, as the L2 norm over all values. Above 0.
        norm: f32,
    },
}

/// How a rule holds updates until the round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A sum, however many updates come.
    Sum,
    /// Every update.
    All,
}

impl Rule {
    /// Which matrices clients train and send in `round` (from 1).
    pub fn trained(self, round: u32) -> Trained {
        match self {
            Self::FfaLora => Trained::OnlyB,
            Self::RoLora if round % 2 == 1 => Trained::OnlyB,
            Self::RoLora => Trained::OnlyA,
            _ => Trained::Both,
        }
    }

    /// What the rule holds until the round ends.
    pub fn holds(self) -> Holds {
        match self {
            Self::FedAvg
            | Self::FfaLora
            | Self::RoLora
            | Self::HetLora
            | Self::NormBound { .. } => Holds::Sum,
            Self::FedExLora
            | Self::Flora
            | Self::FlexLora
            | Self::Median
            | Self::TrimmedMean { .. }
            | Self::Krum { .. }
            | Self::MultiKrum { .. } => Holds::All,
        }
    }

    /// Fewest updates that make a round.
    pub fn needs(self) -> u64 {
        match self {
            Self::Krum { attackers } | Self::MultiKrum { attackers, .. } => {
                2 * u64::from(attackers) + 3
            }
            _ => 1,
        }
    }

    /// Whether clients' adapters may have a smaller rank than the global one.
    pub fn mixes_ranks(self) -> bool {
        matches!(self, Self::Flora | Self::FlexLora | Self::HetLora)
    }

    /// Whether the rule changes the frozen weights, which only `lpfl simulate` carries to clients.
    pub fn has_residual(self) -> bool {
        matches!(self, Self::FedExLora | Self::Flora)
    }

    /// The rule's name, as settings give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FedAvg => "fedavg",
            Self::FfaLora => "ffa_lora",
            Self::RoLora => "rolora",
            Self::FedExLora => "fedex_lora",
            Self::Flora => "flora",
            Self::FlexLora => "flexlora",
            Self::HetLora => "hetlora",
            Self::Median => "median",
            Self::TrimmedMean { .. } => "trimmed_mean",
            Self::Krum { .. } => "krum",
            Self::MultiKrum { .. } => "multi_krum",
            Self::NormBound { .. } => "norm_bound",
        }
    }
}

impl Rule {
    pub(super) fn check(self) -> Result<(), SettingsError> {
        const MOST: f64 = 10_000.0;
        match self {
            Self::TrimmedMean { share } if !(0.0..0.5).contains(&share) => Err(SettingsError::new(
                "aggregation.rule.share",
                "from 0 to below 0.5",
                share.to_string(),
            )),
            Self::Krum { attackers }
            | Self::MultiKrum {
                attackers,
                chosen: 0,
            } => within("aggregation.rule.attackers", attackers.into(), 0.0, MOST),
            Self::MultiKrum { attackers, chosen } => {
                within("aggregation.rule.attackers", attackers.into(), 0.0, MOST)?;
                within("aggregation.rule.chosen", chosen.into(), 0.0, MOST)
            }
            Self::NormBound { norm } => positive("aggregation.rule.norm", norm.into(), 1e9),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_written_by_its_name() {
        let rules = [
            Rule::FedAvg,
            Rule::FfaLora,
            Rule::RoLora,
            Rule::FedExLora,
            Rule::Flora,
            Rule::FlexLora,
            Rule::HetLora,
            Rule::Median,
            Rule::TrimmedMean { share: 0.1 },
            Rule::Krum { attackers: 1 },
            Rule::MultiKrum {
                attackers: 1,
                chosen: 0,
            },
            Rule::NormBound { norm: 1.0 },
        ];
        for rule in rules {
            let json = serde_json::to_value(rule).unwrap();
            assert_eq!(json["by"], rule.name());
            assert_eq!(serde_json::from_value::<Rule>(json).unwrap(), rule);
        }
    }
}
