//! How the simulated world behaves: sampling, absences, speeds and attacks.

use fl_core::error::SettingsError;
use serde::{Deserialize, Serialize};

/// Whom a round selects, and when it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoundShape {
    /// Clients selected for a round, drawn at random.
    pub sample: Sample,
    /// Reports that end a round early; 0 waits for all.
    pub goal: u32,
    /// Fewest reports that make a round; below it the round is abandoned and tried again.
    pub minimum: u32,
    /// Seconds on the virtual clock after which a round ends with the reports it has.
    pub deadline_seconds: u32,
    /// Seconds that a round waits for a selected client whose connection broke.
    pub grace_seconds: u32,
}

impl Default for RoundShape {
    fn default() -> Self {
        Self {
            sample: Sample::Count(0),
            goal: 0,
            minimum: 1,
            deadline_seconds: 180,
            grace_seconds: 15,
        }
    }
}

/// How many clients a round selects.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a number of clients, or a share of them such as 0.1"
)]
pub enum Sample {
    /// So many; 0 selects all.
    Count(u32),
    /// This share of the clients, above 0 and at most 1.
    Share(f32),
}

impl Sample {
    /// As a room counts it, for so many clients.
    pub fn of(self, clients: u32) -> u32 {
        match self {
            Self::Count(count) if count >= clients => 0,
            Self::Count(count) => count,
            Self::Share(share) => {
                let count = (f64::from(clients) * f64::from(share)).round() as u32;
                Self::Count(count.max(1)).of(clients)
            }
        }
    }
}

impl RoundShape {
    pub(super) fn check(&self, clients: u32) -> Result<(), SettingsError> {
        if let Sample::Share(share) = self.sample
            && !(share > 0.0 && share <= 1.0)
        {
            let expected = "a number of clients, or a share above 0 and at most 1";
            return Err(refused("round.sample", expected, share));
        }
        let most = match self.sample.of(clients) {
            0 => clients,
            sample => sample,
        };
        let expected = format!("1 to {most}, the clients that a round selects");
        if !(1..=most).contains(&self.minimum) {
            return Err(refused("round.minimum", &expected, self.minimum));
        }
        if self.goal != 0 && !(self.minimum..=most).contains(&self.goal) {
            let expected = format!("0, or {} to {most}", self.minimum);
            return Err(refused("round.goal", &expected, self.goal));
        }
        Ok(())
    }
}

/// Clients that are away, or leave a round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dropouts {
    /// Chance that a client is away when a round starts, 0 to below 1.
    pub before: f32,
    /// Chance that a selected client's connection breaks while it works.
    pub during: f32,
}

impl Dropouts {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        for (field, chance) in [
            ("dropouts.before", self.before),
            ("dropouts.during", self.during),
        ] {
            if !(0.0..1.0).contains(&chance) {
                return Err(refused(field, "from 0 to below 1", chance));
            }
        }
        Ok(())
    }
}

/// How long clients work on the virtual clock: a log-normal distribution over the clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stragglers {
    /// Seconds that the median client works in a round.
    pub median_seconds: f32,
    /// Standard deviation of the logarithm; 0 makes all clients alike.
    pub sigma: f32,
}

impl Default for Stragglers {
    fn default() -> Self {
        Self {
            median_seconds: 20.0,
            sigma: 0.0,
        }
    }
}

impl Stragglers {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if !(self.median_seconds > 0.0 && self.median_seconds <= 86_400.0) {
            let expected = "above 0, at most 86400";
            return Err(refused(
                "stragglers.median_seconds",
                expected,
                self.median_seconds,
            ));
        }
        if !(0.0..=5.0).contains(&self.sigma) {
            return Err(refused("stragglers.sigma", "0 to 5", self.sigma));
        }
        Ok(())
    }
}

/// Clients that harm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attackers {
    /// How many, drawn at random.
    pub count: u32,
    /// What they do.
    pub attack: Attack,
}

impl Default for Attackers {
    fn default() -> Self {
        Self {
            count: 0,
            attack: Attack::LabelFlip {},
        }
    }
}

impl Attackers {
    pub(super) fn check(&self, clients: u32) -> Result<(), SettingsError> {
        if self.count > clients {
            let expected = format!("at most the {clients} clients");
            return Err(refused("attackers.count", &expected, self.count));
        }
        let (field, value) = match self.attack {
            Attack::LabelFlip {} => return Ok(()),
            Attack::ScaledUpdate { factor } => ("attackers.attack.factor", factor),
            Attack::RandomUpdate { deviation } => ("attackers.attack.deviation", deviation),
        };
        match value.is_finite() {
            true => Ok(()),
            false => Err(refused(field, "a finite number", value)),
        }
    }
}

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum Attack {
    /// Trains on gold labels turned round: label l of L becomes L − 1 − l.
    LabelFlip {},
    /// Sends w + factor · (w_k − w) in place of its w_k; a negative factor pushes back.
    ScaledUpdate {
        /// The factor.
        factor: f32,
    },
    /// Sends w plus normal noise.
    RandomUpdate {
        /// Standard deviation of the noise.
        deviation: f32,
    },
}

pub(super) fn refused(field: &str, expected: &str, got: impl ToString) -> SettingsError {
    SettingsError {
        field: field.into(),
        expected: expected.into(),
        got: got.to_string(),
    }
}
