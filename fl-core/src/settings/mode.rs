//! Whether a round's clients wait for each other.

use serde::{Deserialize, Serialize};

use super::{RoundSettings, Rule, within};
use crate::error::SettingsError;

/// Whether clients wait for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum RoundMode {
    /// All clients of a round begin at the same global adapter, and the round ends with them.
    #[default]
    Synchronous,
    /// FedBuff (Nguyen et al. 2022, arXiv 2106.06639): a round ends with every `goal` updates, from
    /// whichever round their clients began in. An update that began τ rounds earlier moves the
    /// global adapter by 1/√(1+τ) of its change.
    Asynchronous {
        /// Most rounds that an update may be behind; a client that falls further behind begins
        /// anew. Fewer where the adapters of so many rounds are more than
        /// `aggregation.memory_mib`.
        max_staleness: u32,
    },
}

impl RoundMode {
    /// Most rounds that an update may be behind, where it may be behind at all.
    pub fn max_staleness(self) -> Option<u32> {
        match self {
            Self::Synchronous => None,
            Self::Asynchronous { max_staleness } => Some(max_staleness),
        }
    }

    /// Whether a client goes on while rounds end.
    pub fn is_asynchronous(self) -> bool {
        self != Self::Synchronous
    }

    pub(super) fn check(self, round: &RoundSettings, rule: Rule) -> Result<(), SettingsError> {
        let Some(most) = self.max_staleness() else {
            return Ok(());
        };
        within("round.mode.max_staleness", most.into(), 0.0, 1_000.0)?;
        if round.goal == 0 {
            let expected = "at least 1: in asynchronous mode it is what ends a round";
            return Err(SettingsError::new("round.goal", expected, "0"));
        }
        let alternates = rule == Rule::RoLora;
        if alternates || rule.has_residual() || rule.mixes_ranks() {
            let expected = "a rule for updates of several rounds in asynchronous mode \
                            (fedavg, ffa_lora, median, trimmed_mean, krum, multi_krum, norm_bound)";
            return Err(SettingsError::new(
                "aggregation.rule",
                expected,
                rule.name(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{RoomSettings, RoundMode, Rule};

    #[test]
    fn mode_is_short_to_write() {
        let mode = |json: &str| serde_json::from_str::<RoundMode>(json).unwrap();
        assert_eq!(mode(r#""synchronous""#), RoundMode::Synchronous);
        let asynchronous = mode(r#"{"asynchronous":{"max_staleness":4}}"#);
        assert_eq!(asynchronous.max_staleness(), Some(4));
        serde_json::from_str::<RoundMode>(r#"{"asynchronous":{"staleness":4}}"#).unwrap_err();
    }

    #[test]
    fn what_cannot_wait_is_refused() {
        let mut settings = RoomSettings::default();
        settings.round.mode = RoundMode::Asynchronous { max_staleness: 4 };
        let field = |settings: &RoomSettings| settings.check().unwrap_err().field;
        assert_eq!(field(&settings), "round.goal");
        settings.round.goal = 4;
        settings.check().unwrap();
        settings.aggregation.rule = Rule::RoLora;
        assert_eq!(field(&settings), "aggregation.rule");
        settings.aggregation.rule = Rule::Median;
        settings.check().unwrap();
        settings.round.mode = RoundMode::Asynchronous {
            max_staleness: 1_001,
        };
        assert_eq!(field(&settings), "round.mode.max_staleness");
    }
}
