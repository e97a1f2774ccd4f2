//! The settings of a room: one struct for the page, the command line and the protocol.
//!
//! Every choice that LP-FL (arXiv 2307.13896) leaves open is a field here, with its default.

mod aggregation;
mod extra;
mod lora;
mod mode;
mod ranges;
mod rule;
mod server_optimizer;
mod training;

use serde::{Deserialize, Serialize};

use crate::compression::Compression;
use crate::error::SettingsError;
use crate::partition::Deal;
use crate::protocol::Report;
use crate::soft_labels::SoftLabelSettings;
use crate::task::{Calibration, Task};
use ranges::zero_or_within;

pub use aggregation::{AggregationSettings, MeasureError};
pub use extra::no_extra_fields;
pub use lora::{LoraScaling, LoraSettings, LoraTarget};
pub use mode::RoundMode;
pub(crate) use ranges::{positive, within};
pub use rule::{Holds, Rule};
pub use server_optimizer::{Adaptive, ServerOptimizer};
pub use training::{CALIBRATED_ROUND_DECAY, Decay, TrainingSettings};

/// Everything that decides how a room learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct RoomSettings {
    /// The room's title, shown to everyone. 1 to 80 characters.
    pub title: String,
    /// Name of the base model, as the server lists it.
    pub model: String,
    /// Labels, label words and pattern.
    pub task: Task,
    /// Which texts a client works on.
    pub texts: Texts,
    /// Shape of the trained adapter.
    pub lora: LoraSettings,
    /// Local training in a tab.
    pub training: TrainingSettings,
    /// Labels that the global model gives to a client's unlabelled texts.
    pub soft_labels: SoftLabelSettings,
    /// Which of a client's examples count as `n_k`.
    pub weighting: Weighting,
    /// How a round's updates become the next global adapter.
    pub aggregation: AggregationSettings,
    /// How a client's update travels.
    pub compression: Compression,
    /// When a round starts, ends and is given up.
    pub round: RoundSettings,
    /// Seed of everything random in the room: adapter initialisation, dealing, sampling, shuffling.
    pub seed: u32,
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self {
            title: "Reviews".into(),
            model: "default".into(),
            task: Task::reviews(),
            texts: Texts::default(),
            lora: LoraSettings::default(),
            training: TrainingSettings::default(),
            soft_labels: SoftLabelSettings::default(),
            weighting: Weighting::default(),
            aggregation: AggregationSettings::default(),
            compression: Compression::default(),
            round: RoundSettings::default(),
            seed: 0,
        }
    }
}

/// Where a client's texts come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Texts {
    /// Every client is dealt its own share of a corpus that the server ships.
    Corpus {
        /// The corpus's name, as the server lists it.
        corpus: String,
        /// How much of it one client holds.
        deal: Deal,
    },
    /// Every client brings its own texts, which never leave it.
    Own,
}

impl Default for Texts {
    fn default() -> Self {
        Self::Corpus {
            corpus: "reviews".into(),
            deal: Deal::default(),
        }
    }
}

/// Which examples count as a client's `n_k` in FedAvg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Weighting {
    /// Gold and soft-labelled examples, as FeS counts them.
    #[default]
    GoldAndSoft,
    /// Gold examples only.
    Gold,
    /// Every client counts the same.
    Equal,
}

impl Weighting {
    /// n_k: how much the update of a report counts.
    pub fn weight(self, report: &Report) -> f64 {
        match self {
            Self::GoldAndSoft => f64::from(report.gold) + f64::from(report.soft),
            Self::Gold => report.gold.into(),
            Self::Equal => 1.0,
        }
    }
}

/// When a round starts, ends and is given up (terms of Bonawitz et al. 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct RoundSettings {
    /// Whether clients wait for each other.
    pub mode: RoundMode,
    /// Whether rounds start by themselves or when the owner says so.
    pub start: Start,
    /// Clients that must be ready before a round starts.
    pub quorum: Quorum,
    /// Fewest reports that make a round; below it the round is abandoned and tried again.
    pub minimum: u32,
    /// Most clients selected for one round, drawn at random; 0 selects every ready client. In
    /// asynchronous mode most clients at work at the same time.
    pub sample: u32,
    /// Reports that end a round early, so that more can be selected than needed; 0 waits for all.
    /// In asynchronous mode the size K of the buffer.
    pub goal: u32,
    /// Seconds after which a round ends with the reports it has.
    pub deadline_seconds: u32,
    /// Seconds that a round waits for a selected client whose connection broke.
    pub grace_seconds: u32,
    /// Rounds after which the room is finished.
    pub rounds: u32,
    /// Most clients in the room.
    pub capacity: u32,
}

impl Default for RoundSettings {
    fn default() -> Self {
        Self {
            mode: RoundMode::default(),
            start: Start::Automatic,
            quorum: Quorum::Count(2),
            minimum: 1,
            sample: 0,
            goal: 0,
            deadline_seconds: 180,
            grace_seconds: 15,
            rounds: 10,
            capacity: 64,
        }
    }
}

/// What starts the first round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Start {
    /// Rounds begin as soon as the quorum is there.
    Automatic,
    /// The owner begins them; after that they follow each other while the quorum is there.
    Manual,
}

/// How many clients must be ready before a round starts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Quorum {
    /// This many.
    Count(u32),
    /// This share of the connected clients, above 0 and at most 1, and never fewer than the minimum.
    Fraction(f32),
}

/// Most characters of a room's title.
pub const TITLE_CHARACTERS: usize = 80;

impl RoomSettings {
    /// Checks every field against its documented range.
    ///
    /// # Errors
    /// The first field out of range: its path, what was expected and what was got.
    pub fn check(&self) -> Result<(), SettingsError> {
        let title = self.title.trim().chars().count();
        within("title", title as f64, 1.0, TITLE_CHARACTERS as f64)?;
        self.task.check()?;
        if let Texts::Corpus { deal, .. } = &self.texts {
            deal.check()?;
        }
        self.lora.check()?;
        self.training.check()?;
        self.soft_labels.check()?;
        self.aggregation.check()?;
        self.compression.check()?;
        self.round.check()?;
        self.round.mode.check(&self.round, self.aggregation.rule)
    }

    /// How a client trains in `round`, counted from 1: the settings, with the peak learning rate
    /// that [`TrainingSettings::round_decay`] leaves.
    pub fn training_in(&self, round: u32) -> TrainingSettings {
        let decay = f64::from(self.round_decay());
        let factor = decay.powf(f64::from(round.saturating_sub(1)));
        TrainingSettings {
            learning_rate: (f64::from(self.training.learning_rate) * factor) as f32,
            ..self.training.clone()
        }
    }

    /// The settings with everything said that otherwise follows from the others: what a room keeps
    /// and shows.
    pub fn settled(mut self) -> Self {
        self.training.round_decay = Some(self.round_decay());
        self
    }

    /// The factor on the learning rate from each round to the next.
    fn round_decay(&self) -> f32 {
        let sees_the_same_again = self.round.sample == 0 && !self.round.mode.is_asynchronous();
        let knows_the_threshold =
            self.task.calibration == Calibration::Unlabelled && self.task.labels.len() == 2;
        let usual = match knows_the_threshold && sees_the_same_again {
            true => CALIBRATED_ROUND_DECAY,
            false => 1.0,
        };
        self.training.round_decay.unwrap_or(usual)
    }

    /// [`Self::check`], and that a room of tabs can do it: `lpfl simulate` can do more.
    ///
    /// # Errors
    /// The first field that does not pass.
    pub fn check_for_room(&self) -> Result<(), SettingsError> {
        self.check()?;
        if let Texts::Corpus { deal, .. } = &self.texts {
            deal.check_for_room()?;
        }
        self.aggregation.check_for_room()
    }
}

impl RoundSettings {
    fn check(&self) -> Result<(), SettingsError> {
        within("round.capacity", self.capacity.into(), 1.0, 100_000.0)?;
        within(
            "round.minimum",
            self.minimum.into(),
            1.0,
            self.capacity.into(),
        )?;
        match self.quorum {
            Quorum::Count(count) => within(
                "round.quorum.count",
                count.into(),
                self.minimum.into(),
                self.capacity.into(),
            ),
            Quorum::Fraction(fraction) => {
                within("round.quorum.fraction", fraction.into(), 1e-6, 1.0)
            }
        }?;
        zero_or_within("round.sample", self.sample, self.minimum, self.capacity)?;
        let all_reports_come_from_the_sample = self.sample > 0 && !self.mode.is_asynchronous();
        let most = match all_reports_come_from_the_sample {
            true => self.sample,
            false => self.capacity,
        };
        zero_or_within("round.goal", self.goal, self.minimum, most)?;
        within(
            "round.deadline_seconds",
            self.deadline_seconds.into(),
            1.0,
            86_400.0,
        )?;
        within(
            "round.grace_seconds",
            self.grace_seconds.into(),
            0.0,
            3_600.0,
        )?;
        within("round.rounds", self.rounds.into(), 1.0, 100_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_their_own_check() {
        RoomSettings::default().check().unwrap();
    }

    #[test]
    fn defaults_survive_json() {
        let settings = RoomSettings::default();
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(
            serde_json::from_str::<RoomSettings>(&text).unwrap(),
            settings
        );
        assert_eq!(
            serde_json::from_str::<RoomSettings>("{}").unwrap(),
            settings
        );
    }

    #[test]
    fn learning_rate_falls_from_round_to_round_where_the_threshold_is_known() {
        let rates = |settings: &RoomSettings| {
            [0, 1, 2, 4].map(|round| settings.training_in(round).learning_rate)
        };
        let mut settings = RoomSettings::default();
        settings.training.learning_rate = 0.5;
        assert_eq!(rates(&settings), [0.5; 4]);
        settings.task.calibration = Calibration::Unlabelled;
        assert_eq!(rates(&settings), [0.5, 0.5, 0.25, 0.0625]);
        assert_eq!(rates(&settings.clone().settled()), rates(&settings));
        let third = settings.task.labels[0].clone();
        settings.task.labels.push(third);
        assert_eq!(rates(&settings), [0.5; 4]);
        settings.task.labels.pop();
        settings.round.sample = 10;
        assert_eq!(rates(&settings), [0.5; 4]);
        settings.training.round_decay = Some(0.5);
        assert_eq!(rates(&settings), [0.5, 0.5, 0.25, 0.0625]);
    }

    #[test]
    fn unknown_field_is_named() {
        let error = serde_json::from_str::<RoomSettings>(r#"{"tittle":"x"}"#).unwrap_err();
        assert!(error.to_string().contains("tittle"), "{error}");
    }

    #[test]
    fn each_bad_field_is_named() {
        type Spoil = fn(&mut RoomSettings);
        let cases: [(&str, Spoil); 7] = [
            ("title", |s| s.title = " ".into()),
            ("training.learning_rate", |s| {
                s.training.learning_rate = f32::INFINITY
            }),
            ("training.round_decay", |s| {
                s.training.round_decay = Some(0.0)
            }),
            ("round.minimum", |s| s.round.minimum = 65),
            ("round.quorum.count", |s| s.round.quorum = Quorum::Count(0)),
            ("round.quorum.fraction", |s| {
                s.round.quorum = Quorum::Fraction(1.5)
            }),
            ("round.goal", |s| (s.round.sample, s.round.goal) = (4, 5)),
        ];
        for (field, spoil) in cases {
            let mut settings = RoomSettings::default();
            spoil(&mut settings);
            assert_eq!(settings.check().unwrap_err().field, field);
        }
    }
    /// The page's tests and its mock begin with what a room has by default.
    #[cfg(feature = "typescript")]
    #[test]
    fn export_bindings_of_default_settings() {
        let Some(folder) = std::env::var_os("TS_RS_EXPORT_DIR") else {
            return;
        };
        let settings = serde_json::to_string_pretty(&RoomSettings::default()).unwrap();
        let text = format!(
            "// What a room has unless it is told otherwise: RoomSettings::default() of fl-core.\n\
             import type {{ RoomSettings }} from './RoomSettings';\n\n\
             export const defaults: RoomSettings = {settings};\n"
        );
        let folder = std::path::Path::new(&folder);
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("defaults.ts"), text).unwrap();
    }
}
