//! The settings of an experiment, as its file spells them. Everything has a default.

mod rules;
mod words;
mod world;

use std::path::PathBuf;

use fl_core::compression::Compression;
use fl_core::error::SettingsError;
use fl_core::partition::{Deal, GoldPlacement, Partition, Sizes};
use fl_core::settings::{
    AggregationSettings, LoraSettings, Quorum, RoomSettings, RoundMode, RoundSettings, Start,
    Texts, TrainingSettings, Weighting,
};
use fl_core::soft_labels::{Growth, SoftLabelSettings};
use fl_core::task::Task;
use serde::{Deserialize, Serialize};

use world::refused;
pub use world::{Attack, Attackers, Dropouts, RoundShape, Sample, Stragglers};

/// Everything that decides a run but for its seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Experiment {
    /// Its name in reports; by default the file's.
    pub name: String,
    /// The texts: a bundled corpus by its name, or files.
    #[serde(deserialize_with = "words::data")]
    pub data: Data,
    /// Folder of the base model; by default the bundled one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// A shipped task or a file by its name, the fields of a task, or `from` one and what differs;
    /// by default the corpus's own.
    #[serde(deserialize_with = "words::task")]
    pub task: toml::Table,
    /// Who trains what, and what is averaged.
    pub method: Method,
    /// Number of clients.
    pub clients: u32,
    /// Rounds of a run.
    pub rounds: u32,
    /// One run for each.
    pub seeds: Vec<u32>,
    /// Which texts a client holds; its `clients` are the experiment's.
    pub deal: Deal,
    /// Labels that the global model gives; `"off"` for none.
    #[serde(deserialize_with = "words::soft_labels")]
    pub soft_labels: SoftLabelSettings,
    /// Local training.
    pub training: TrainingSettings,
    /// Shape of the adapter, for every method but `fp-fl`.
    pub lora: LoraSettings,
    /// Ranks of the clients' adapters, dealt round robin; empty where all have `lora.rank`, which
    /// is the global adapter's.
    pub ranks: Vec<u32>,
    /// Which examples count as `n_k`.
    pub weighting: Weighting,
    /// How a round's updates become the next global adapter.
    pub aggregation: AggregationSettings,
    /// How a client's update travels.
    pub compression: Compression,
    /// Whom a round selects, and when it ends.
    pub round: RoundShape,
    /// What is measured, and when.
    pub evaluation: EvaluationSettings,
    /// Clients that are away, or leave a round.
    pub dropouts: Dropouts,
    /// How fast clients are.
    pub stragglers: Stragglers,
    /// Clients that harm.
    pub attackers: Attackers,
    /// Axes of runs: of each one table after the other is laid over these settings.
    #[serde(skip_serializing)]
    pub cases: toml::Table,
    /// Axes of runs: of each setting one value after the other.
    #[serde(skip_serializing)]
    pub sweep: toml::Table,
}

impl Default for Experiment {
    fn default() -> Self {
        Self {
            name: String::new(),
            data: Data::bundled(Data::USUAL),
            model: None,
            task: toml::Table::new(),
            method: Method::default(),
            clients: 5,
            rounds: 10,
            seeds: vec![0],
            deal: Deal::default(),
            soft_labels: SoftLabelSettings::default(),
            training: TrainingSettings::default(),
            lora: LoraSettings::default(),
            ranks: Vec::new(),
            weighting: Weighting::default(),
            aggregation: AggregationSettings::default(),
            compression: Compression::default(),
            round: RoundShape::default(),
            evaluation: EvaluationSettings::default(),
            dropouts: Dropouts::default(),
            stragglers: Stragglers::default(),
            attackers: Attackers::default(),
            cases: toml::Table::new(),
            sweep: toml::Table::new(),
        }
    }
}

/// Who trains what, and what is averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// LoRA matrices are trained and averaged (arXiv 2307.13896).
    #[default]
    LpFl,
    /// Every parameter is trained and averaged.
    FpFl,
    /// Every client trains LoRA matrices by itself; its figures are the clients' means.
    Local,
    /// One client holds everybody's texts and trains LoRA matrices.
    Centralised,
    /// Nothing is trained.
    ZeroShot,
}

impl Method {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::LpFl => "lp-fl",
            Self::FpFl => "fp-fl",
            Self::Local => "local",
            Self::Centralised => "centralised",
            Self::ZeroShot => "zero-shot",
        }
    }

    /// Whether updates travel.
    pub fn is_federated(self) -> bool {
        matches!(self, Self::LpFl | Self::FpFl)
    }
}

/// The texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Name of a bundled corpus; else `train` and `test` are files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus: Option<String>,
    /// Its name in reports; by default the corpus's, or that of the folder of the training texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// CSV, TSV or JSONL of texts to train on, relative to the experiment's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// Texts to measure on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Texts to choose settings with; without it some are held out of the training texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// Training texts that are held out for validation where there is no file for it.
    pub held_out: u32,
    /// Most training texts, drawn at random; 0 takes all.
    pub train_texts: u32,
    /// Most texts of either other file, drawn at random; 0 takes all.
    pub test_texts: u32,
}

impl Data {
    /// The name of the texts where none are named.
    pub(crate) const USUAL: &str = "reviews";

    /// A bundled corpus.
    pub fn bundled(corpus: &str) -> Self {
        Self {
            corpus: Some(corpus.into()),
            ..Self::default()
        }
    }

    /// The name in reports.
    pub fn title(&self) -> String {
        let folder = || {
            let folder = self.train.as_ref()?.parent()?.file_name()?;
            Some(folder.to_string_lossy().into_owned())
        };
        let named = self.name.clone().or_else(|| self.corpus.clone());
        named.or_else(folder).unwrap_or_else(|| "texts".into())
    }
}

/// What is measured, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationSettings {
    /// Rounds from one evaluation to the next; the last round is always evaluated.
    pub every: u32,
    /// The texts.
    pub on: Split,
}

impl Default for EvaluationSettings {
    fn default() -> Self {
        Self {
            every: 1,
            on: Split::Test,
        }
    }
}

/// Texts that nothing is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Those that results are reported on.
    Test,
    /// Those that settings are chosen with.
    Validation,
}

impl Experiment {
    /// Whether soft labels are given.
    pub fn has_soft_labels(&self) -> bool {
        self.soft_labels.growth != Growth::Off && self.method != Method::ZeroShot
    }

    /// Most updates that a round averages.
    pub(crate) fn updates(&self) -> u32 {
        let selected = match self.round.sample.of(self.clients) {
            0 => self.clients,
            sample => sample,
        };
        match self.round.goal {
            0 => selected,
            goal => goal.min(selected),
        }
    }

    /// The partition in a few words.
    pub fn partition_name(&self) -> String {
        let partition = match &self.deal.partition {
            Partition::Iid => "iid".into(),
            Partition::LabelMix { alpha } => format!("label_mix {alpha}"),
            Partition::LabelSpread { alpha } => format!("label_spread {alpha}"),
            Partition::LabelShards { per_client } => format!("label_shards {per_client}"),
            Partition::Column { column } => format!("column {column}"),
        };
        let sizes = match self.deal.sizes {
            Sizes::Equal => String::new(),
            Sizes::LogNormal { sigma } => format!(" log_normal {sigma}"),
            Sizes::PowerLaw { exponent } => format!(" power_law {exponent}"),
        };
        let gold = match self.deal.gold_placement {
            GoldPlacement::Balanced => String::new(),
            GoldPlacement::Dirichlet { alpha } => format!(" gold {alpha}"),
            GoldPlacement::Few { holders } => format!(" few {holders}"),
        };
        format!("{partition}{sizes}{gold}")
    }

    /// The deal among all clients.
    pub(crate) fn whole_deal(&self) -> Deal {
        Deal {
            clients: self.clients,
            ..self.deal.clone()
        }
    }

    /// The settings of a room that runs this experiment with this many clients.
    pub fn room(&self, task: &Task, seed: u32, clients: u32) -> RoomSettings {
        let sample = self.round.sample.of(clients);
        RoomSettings {
            title: self.name.chars().take(80).collect(),
            model: "default".into(),
            task: task.clone(),
            texts: Texts::Corpus {
                corpus: self.data.title(),
                deal: self.whole_deal(),
            },
            lora: self.lora.clone(),
            training: self.training.clone(),
            soft_labels: self.soft_labels.clone(),
            weighting: self.weighting,
            aggregation: match self.method.is_federated() {
                true => self.aggregation.clone(),
                // An average of one is that one.
                false => AggregationSettings::default(),
            },
            compression: match self.method.is_federated() {
                true => self.compression,
                false => Compression::default(),
            },
            round: RoundSettings {
                mode: RoundMode::Synchronous,
                // The simulator is the owner who starts each round.
                start: Start::Manual,
                quorum: Quorum::Count(self.round.minimum.min(clients)),
                minimum: self.round.minimum.min(clients),
                sample,
                goal: self
                    .round
                    .goal
                    .min(if sample == 0 { clients } else { sample }),
                deadline_seconds: self.round.deadline_seconds,
                grace_seconds: self.round.grace_seconds,
                rounds: self.rounds,
                capacity: clients,
            },
            seed,
        }
    }

    /// Checks every setting that can be checked without model and texts.
    ///
    /// # Errors
    /// The first one out of its range, or that excludes another.
    pub fn check(&self) -> Result<(), SettingsError> {
        let refused = |field: &str, expected: &str, got: String| Err(refused(field, expected, got));
        if !(1..=100_000).contains(&self.clients) {
            return refused("clients", "1 to 100000", self.clients.to_string());
        }
        if self.seeds.is_empty() {
            return refused("seeds", "at least one seed", "none".into());
        }
        let mut seeds = self.seeds.clone();
        seeds.sort_unstable();
        if let Some(twice) = seeds.windows(2).find(|pair| pair[0] == pair[1]) {
            let got = format!("{} twice", twice[0]);
            return refused("seeds", "each seed once", got);
        }
        if self.deal.clients != 0 {
            let expected = "nothing, since clients says it";
            return refused("deal.clients", expected, self.deal.clients.to_string());
        }
        if self.evaluation.every == 0 {
            return refused("evaluation.every", "at least 1", "0".into());
        }
        let files = (self.data.train.is_some(), self.data.test.is_some());
        match (&self.data.corpus, files) {
            (Some(_), (false, false)) | (None, (true, true)) => {}
            (Some(_), _) => {
                let expected = "a bundled corpus, or files as data = { train = …, test = … }";
                return refused("data", expected, "both".into());
            }
            (None, _) => {
                let expected = "a bundled corpus, or train and test";
                return refused("data", expected, "neither".into());
            }
        }
        self.check_rules()?;
        self.dropouts.check()?;
        self.stragglers.check()?;
        self.attackers.check(self.clients)?;
        self.round.check(self.clients)?;
        self.check_room()
    }

    fn check_room(&self) -> Result<(), SettingsError> {
        let settings = RoomSettings {
            title: "Experiment".into(),
            task: Task::reviews(),
            ..self.room(&Task::reviews(), 0, self.clients)
        };
        settings.check().map_err(|mut error| {
            error.field = match error.field.as_str() {
                "round.rounds" => "rounds".into(),
                "round.capacity" => "clients".into(),
                field => in_file(field),
            };
            error
        })
    }
}

/// A room's setting, as an experiment's file spells it.
pub(crate) fn in_file(field: &str) -> String {
    match field {
        "texts.deal.clients" => "clients".into(),
        field => field.strip_prefix("texts.").unwrap_or(field).into(),
    }
}

#[cfg(test)]
mod tests;
