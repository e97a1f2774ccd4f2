//! Rules of an experiment that exclude another, or that no round of it can have.

use fl_core::aggregate::Trained;
use fl_core::compression::Compression;
use fl_core::error::SettingsError;
use fl_core::settings::MeasureError;

use super::world::refused;
use super::{Experiment, Method};

impl Experiment {
    /// Checks the method, the rule, the ranks and the compression against each other.
    ///
    /// # Errors
    /// The first that excludes another.
    pub(super) fn check_rules(&self) -> Result<(), SettingsError> {
        let refused = |field: &str, expected: &str, got: String| Err(refused(field, expected, got));
        let rule = self.aggregation.rule;
        let lora_only =
            rule.mixes_ranks() || rule.has_residual() || rule.trained(1) != Trained::Both;
        if self.method == Method::FpFl && lora_only {
            let expected = "a rule for all parameters, because the method is fp-fl";
            return refused("aggregation.rule", expected, rule.name().into());
        }
        if self.method == Method::FpFl && self.aggregation.measure_error != MeasureError::Off {
            let expected = "off, because the method is fp-fl";
            return refused("aggregation.measure_error", expected, "each_round".into());
        }
        let updates = self.updates();
        if self.method.is_federated() && rule.needs() > u64::from(updates) {
            let expected = format!(
                "a rule for the {updates} updates that a round has, or more clients in it, \
                 because {} needs {}",
                rule.name(),
                rule.needs()
            );
            return refused("aggregation.rule", &expected, rule.name().into());
        }
        if self.ranks.is_empty() {
            return Ok(());
        }
        if let Some(rank) = self
            .ranks
            .iter()
            .find(|rank| !(1..=self.lora.rank).contains(*rank))
        {
            let expected = format!("ranks of 1 to lora.rank, {}", self.lora.rank);
            return refused("ranks", &expected, rank.to_string());
        }
        if !self.method.is_federated() || self.method == Method::FpFl {
            let expected = "none, because only lp-fl has adapters of several ranks";
            return refused("ranks", expected, self.method.name().into());
        }
        if !rule.mixes_ranks() {
            let expected = "flora, flexlora or hetlora, because the ranks differ";
            return refused("aggregation.rule", expected, rule.name().into());
        }
        if self.compression != Compression::F32 {
            let expected = "f32, because the ranks differ";
            return refused("compression", expected, format!("{:?}", self.compression));
        }
        Ok(())
    }
}
