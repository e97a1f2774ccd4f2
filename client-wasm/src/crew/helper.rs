//! A helper's side: its own copy of the model and the client's texts, and the answers to asks.

use fl_core::settings::LoraSettings;
use fl_core::task::Task;
use learner::{BaseModel, Encoded, Learner, LearnerError, Tuning};
use serde::{Deserialize, Serialize};

use super::wire::{self, Answer, Ask, WireError};

/// What a helper needs beside the model's files, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Setup {
    task: Task,
    lora: LoraSettings,
    offsets: Vec<f32>,
    /// Of every text, the prompts: token ids and the mask's position.
    texts: Vec<Vec<(Vec<u32>, usize)>>,
}

/// Why a helper is of no use.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// Its setup cannot be read.
    #[error("a helper's setup cannot be read: {0}")]
    Setup(#[from] serde_json::Error),
    /// The model, the task or a computation.
    #[error(transparent)]
    Learner(#[from] LearnerError),
    /// A message that is none.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// The setup of helpers on these texts; none where the learner trains what helpers do not.
pub fn setup(learner: &Learner, texts: &[Encoded]) -> Option<String> {
    let Tuning::Lora(lora) = learner.tuning() else {
        return None;
    };
    let prompts = |text: &Encoded| {
        let prompts = text.prompts().iter();
        prompts
            .map(|prompt| (prompt.ids().to_vec(), prompt.mask()))
            .collect()
    };
    let setup = Setup {
        task: learner.task().clone(),
        lora: lora.clone(),
        offsets: learner.offsets().to_vec(),
        texts: texts.iter().map(prompts).collect(),
    };
    serde_json::to_string(&setup).ok()
}

/// A helper that has everything.
#[derive(Debug)]
pub struct Helper {
    learner: Learner,
    texts: Vec<Encoded>,
}

impl Helper {
    /// A helper on the client's model by what [`setup`] says.
    ///
    /// # Errors
    /// [`HelperError`] when it is not that model's.
    pub fn new(base: BaseModel, setup: &str) -> Result<Self, HelperError> {
        let setup: Setup = serde_json::from_str(setup)?;
        let mut learner = Learner::new(base, &setup.task, &setup.lora)?;
        learner.calibrate(setup.offsets)?;
        let texts = setup.texts.into_iter().map(Encoded::new);
        Ok(Self {
            learner,
            texts: texts.collect::<Result<_, _>>()?,
        })
    }

    /// Does what is asked.
    ///
    /// # Errors
    /// [`HelperError`] for what is no ask of this client's, and for a failed computation.
    pub fn answer(&mut self, ask: &[u32]) -> Result<Answer, HelperError> {
        let ask = Ask::decode(ask)?;
        if let Some(values) = &ask.adapter {
            let adapter = wire::adapter(&self.learner.layout(), values)?;
            self.learner.load(&adapter)?;
        }
        let result = self.learner.run(&self.texts, &ask.job)?;
        Ok(Answer::Done(ask.number, result))
    }
}
