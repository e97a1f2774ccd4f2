//! What a room's settings mean for the learner: its first adapter, and quality on held-out texts.

use bytes::Bytes;
use fl_core::adapter::Adapter;
use fl_core::error::{Blame, Fault, FaultCode};
use fl_core::settings::{RoomSettings, Texts};
use fl_core::task::Calibration;
use learner::{Encoded, Evaluation, Learner, LearnerError, peft, texts};

use crate::corpora::{Corpora, Corpus};
use crate::error::ServerError;
use crate::models::{Model, Models};

/// The models and texts that rooms can be made of.
#[derive(Debug)]
pub(crate) struct Library {
    /// Base models.
    pub(crate) models: Models,
    /// Texts.
    pub(crate) corpora: Corpora,
}

impl Library {
    /// Reads and checks everything; blocks.
    pub(crate) fn open(models: &[std::path::PathBuf]) -> Result<Self, ServerError> {
        Ok(Self {
            models: Models::open(models)?,
            corpora: Corpora::open()?,
        })
    }

    /// The base model of a room with these settings.
    pub(crate) fn model(&self, settings: &RoomSettings) -> Result<&Model, Fault> {
        self.models.find(&settings.model).ok_or_else(|| {
            let names = self.models.iter().map(|model| model.info.name.as_str());
            unavailable("model", &settings.model, names)
        })
    }

    /// The corpus of a room with these settings, unless its clients bring their own texts.
    pub(crate) fn corpus(&self, settings: &RoomSettings) -> Result<Option<&Corpus>, Fault> {
        let Texts::Corpus { corpus, .. } = &settings.texts else {
            return Ok(None);
        };
        let found = self.corpora.find(corpus);
        found.map(Some).ok_or_else(|| {
            let names = self.corpora.iter().map(|corpus| corpus.info.name);
            unavailable("texts.corpus", corpus, names)
        })
    }

    /// Checks settings against models, texts and vocabulary, and makes the first adapter; blocks.
    pub(crate) fn first_adapter(&self, settings: &RoomSettings) -> Result<Adapter, Fault> {
        settings.check_for_room()?;
        let model = self.model(settings)?;
        let learner = Learner::new(model.base.clone(), &settings.task, &settings.lora)
            .map_err(|error| bad_settings(format!("{error}."), "Change the task or LoRA."))?;
        if let Some(corpus) = self.corpus(settings)? {
            check_labels(corpus, settings)?;
            check_deal(corpus, settings)?;
        }
        Ok(learner.initial_adapter(settings.seed))
    }

    /// PEFT's configuration of a room's adapters; nothing when its model is not offered, and then
    /// there is no such room either.
    pub(crate) fn adapter_config(&self, settings: &RoomSettings) -> Bytes {
        let model = self.model(settings).ok();
        let config = model.map(|model| peft::config(&model.base, &settings.lora, &settings.model));
        config.unwrap_or_default().into()
    }

    /// The room's held-out texts, where it has some; blocks for long where the task is calibrated.
    pub(crate) fn held_out(
        &self,
        settings: &RoomSettings,
    ) -> Result<Option<HeldOut>, LearnerError> {
        let (Ok(model), Ok(Some(corpus))) = (self.model(settings), self.corpus(settings)) else {
            return Ok(None);
        };
        let mut learner = Learner::new(model.base.clone(), &settings.task, &settings.lora)?;
        if settings.task.calibration != Calibration::None {
            let train = texts::read(&corpus.train, &settings.task)?;
            let rows = train.rows.iter();
            let train: Vec<Encoded> = rows.map(|row| learner.encode_row(row)).collect();
            learner.calibrate(learner.prior(&train)?)?;
        }
        let test = texts::read(&corpus.test, &settings.task)?;
        let rows = test.rows.iter();
        let (texts, labels) = rows
            .filter_map(|row| Some((learner.encode_row(row), row.label?)))
            .unzip();
        Ok(Some(HeldOut {
            learner,
            texts,
            labels,
        }))
    }
}

/// A room's held-out texts, ready to measure one adapter after the other.
pub(crate) struct HeldOut {
    learner: Learner,
    texts: Vec<Encoded>,
    labels: Vec<usize>,
}

impl HeldOut {
    /// Quality of an adapter; blocks for long.
    pub(crate) fn evaluate(&mut self, adapter: &Adapter) -> Result<Evaluation, LearnerError> {
        self.learner.load(adapter)?;
        self.learner.evaluate(&self.texts, &self.labels)
    }
}

/// Refuses a task that has none of the corpus's labels: nothing could be learned or measured.
fn check_labels(corpus: &Corpus, settings: &RoomSettings) -> Result<(), Fault> {
    let known = |label: &fl_core::task::Label| settings.task.label_index(&label.name).is_some();
    if corpus.info.task.labels.iter().all(known) {
        return Ok(());
    }
    let names = |task: &fl_core::task::Task| {
        let names: Vec<&str> = task.labels.iter().map(|l| l.name.as_str()).collect();
        names.join(", ")
    };
    let expected = names(&corpus.info.task);
    let got = names(&settings.task);
    Err(bad_settings(
        format!("setting task.labels: expected the texts' labels {expected}, got {got}."),
        "Give the task the labels of its texts, or choose other texts.",
    ))
}

/// Refuses a deal that the corpus has too few texts for, before the first client finds out.
fn check_deal(corpus: &Corpus, settings: &RoomSettings) -> Result<(), Fault> {
    let Texts::Corpus { deal, .. } = &settings.texts else {
        return Ok(());
    };
    let train = texts::read(&corpus.train, &settings.task)
        .map_err(|error| bad_settings(format!("{error}."), "Change the task."))?;
    let labels: Vec<usize> = train.rows.iter().filter_map(|row| row.label).collect();
    deal.share(&labels, 0, settings.seed)?;
    Ok(())
}

fn unavailable<'a>(field: &str, name: &str, names: impl Iterator<Item = &'a str>) -> Fault {
    let names: Vec<&str> = names.collect();
    let shown: String = name.chars().take(64).collect();
    bad_settings(
        format!(
            "setting {field}: expected one of “{}”, got “{shown}”.",
            names.join("”, “")
        ),
        "Choose one that this server has.",
    )
}

fn bad_settings(message: String, mend: &str) -> Fault {
    Fault {
        code: FaultCode::BadSettings,
        blame: Blame::Client,
        message,
        mend: mend.into(),
    }
}
