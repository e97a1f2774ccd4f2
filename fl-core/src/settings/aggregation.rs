//! The settings of aggregation: how a round's updates become the next global adapter.

use serde::{Deserialize, Serialize};

use super::{Rule, ServerOptimizer, within};
use crate::error::SettingsError;

/// How a round's updates become the next global adapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct AggregationSettings {
    /// How the clients' updates are brought together.
    pub rule: Rule,
    /// What the server makes of the step from the global adapter to what the rule gave.
    pub server_optimizer: ServerOptimizer,
    /// Whether the distance from Σ p_k·B_k·A_k is measured each round.
    pub measure_error: MeasureError,
    /// Most MiB of updates held at once, by rules that need all of a round's updates and by
    /// `measure_error`. 1 to 65,536.
    pub memory_mib: u32,
}

impl Default for AggregationSettings {
    fn default() -> Self {
        Self {
            rule: Rule::FedAvg,
            server_optimizer: ServerOptimizer::None,
            measure_error: MeasureError::Off,
            memory_mib: 512,
        }
    }
}

/// Whether the distance from Σ p_k·B_k·A_k is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum MeasureError {
    /// It is not, and rules that can hold one sum only.
    #[default]
    Off,
    /// Every round; all of its updates are held until it ends.
    EachRound,
}

/// Most MiB of updates that a room's rule may hold: whoever creates a room does not own the server.
const ROOM_MEMORY_MIB: u32 = 1024;

impl AggregationSettings {
    /// Checks every field against its documented range, and that the two rules go together.
    ///
    /// # Errors
    /// The first field out of range, as `aggregation.` and its name.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.rule.check()?;
        self.server_optimizer.check()?;
        within(
            "aggregation.memory_mib",
            self.memory_mib.into(),
            1.0,
            65_536.0,
        )?;
        // FLoRA's adapter starts anew each round, and the SVD's factors are not last round's
        // moved by a step: there is nothing for a momentum to add up.
        let anew = matches!(self.rule, Rule::Flora | Rule::FlexLora);
        if anew && self.server_optimizer != ServerOptimizer::None {
            let expected = format!("none, because {} makes new factors", self.rule.name());
            let got = format!("{:?}", self.server_optimizer);
            return Err(SettingsError::new(
                "aggregation.server_optimizer",
                expected,
                got,
            ));
        }
        Ok(())
    }

    /// Checks what a room of tabs cannot do and `lpfl simulate` can.
    ///
    /// # Errors
    /// A rule that changes the frozen weights, which are not sent to tabs; a measurement, which
    /// a room does not record; or more memory than a server gives to one room.
    pub fn check_for_room(&self) -> Result<(), SettingsError> {
        let refused = |field, expected: &str, got: String| {
            let expected = format!("{expected} (this one works only in lpfl simulate)");
            Err(SettingsError::new(field, expected, got))
        };
        if self.rule.has_residual() {
            let expected = "a rule that leaves the frozen weights alone";
            return refused("aggregation.rule", expected, self.rule.name().into());
        }
        if self.measure_error != MeasureError::Off {
            let got = format!("{:?}", self.measure_error);
            return refused("aggregation.measure_error", "off", got);
        }
        let most = f64::from(ROOM_MEMORY_MIB);
        within("aggregation.memory_mib", self.memory_mib.into(), 1.0, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Adaptive;

    #[test]
    fn a_room_gets_no_more_than_its_share_of_memory() {
        let room = |memory_mib| AggregationSettings {
            memory_mib,
            ..AggregationSettings::default()
        };
        room(ROOM_MEMORY_MIB).check_for_room().unwrap();
        let large = room(ROOM_MEMORY_MIB + 1);
        large.check().unwrap();
        let error = large.check_for_room().unwrap_err();
        assert_eq!(error.field, "aggregation.memory_mib");
    }

    fn parse(json: &str) -> AggregationSettings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn settings_are_short_to_write() {
        assert_eq!(parse("{}"), AggregationSettings::default());
        assert_eq!(parse(r#"{"rule":{"by":"rolora"}}"#).rule, Rule::RoLora);
        let yogi = parse(r#"{"server_optimizer":{"by":"fedyogi","tau":0.01}}"#);
        let expected = Adaptive {
            tau: 0.01,
            ..Adaptive::default()
        };
        assert_eq!(yogi.server_optimizer, ServerOptimizer::FedYogi(expected));
        let momentum = parse(r#"{"server_optimizer":{"by":"fedavgm"}}"#);
        momentum.check().unwrap();
    }

    #[test]
    fn each_bad_field_is_named() {
        let cases = [
            (
                "rule.share",
                r#"{"rule":{"by":"trimmed_mean","share":0.5}}"#,
            ),
            ("rule.norm", r#"{"rule":{"by":"norm_bound","norm":0}}"#),
            ("memory_mib", r#"{"memory_mib":0}"#),
            (
                "server_optimizer",
                r#"{"rule":{"by":"flora"},"server_optimizer":{"by":"fedadam"}}"#,
            ),
            (
                "server_optimizer.momentum",
                r#"{"server_optimizer":{"by":"fedavgm","momentum":1}}"#,
            ),
            (
                "server_optimizer.beta2",
                r#"{"server_optimizer":{"by":"fedadam","beta2":-1}}"#,
            ),
        ];
        for (field, json) in cases {
            let error = parse(json).check().unwrap_err();
            assert_eq!(error.field, format!("aggregation.{field}"));
        }
    }

    #[test]
    fn rooms_refuse_what_only_a_simulation_can_do() {
        for rule in [Rule::FedExLora, Rule::Flora] {
            let settings = AggregationSettings {
                rule,
                ..AggregationSettings::default()
            };
            settings.check().unwrap();
            let error = settings.check_for_room().unwrap_err().to_string();
            assert!(error.contains("only in lpfl simulate"), "{error}");
        }
        let measured = parse(r#"{"measure_error":"each_round"}"#);
        measured.check().unwrap();
        assert!(measured.check_for_room().is_err());
    }
}
