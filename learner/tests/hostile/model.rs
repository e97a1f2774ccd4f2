//! The golden models as seeds, and what must hold of every attempt to load files.

use fl_core::settings::LoraSettings;
use golden::{MODELS, Model, Numbers};
use learner::{BaseModel, Learner, LearnerError, Result};
use proptest::prelude::*;

use crate::memory::largest_allocation;

/// Many times what any golden model needs, and far below what its files could be made to claim.
const MOST_BYTES: usize = 64 << 20;

/// The three files of a model, to be damaged.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) config: Vec<u8>,
    pub(crate) tokenizer: Vec<u8>,
    pub(crate) weights: Vec<u8>,
}

impl Files {
    pub(crate) fn new(model: &Model) -> Self {
        Self {
            config: model.config.to_vec(),
            tokenizer: model.tokenizer.to_vec(),
            weights: model.weights.to_vec(),
        }
    }

    /// Loads the files and, where that works, uses the model; checks memory and the error's words.
    pub(crate) fn try_out(&self) -> Result<BaseModel> {
        let (largest, result) = largest_allocation(|| self.load_and_use());
        assert!(largest < MOST_BYTES, "{largest} bytes at once: {result:?}");
        if let Err(error) = &result {
            assert_one_line(error);
        }
        result
    }

    fn load_and_use(&self) -> Result<BaseModel> {
        let base = BaseModel::from_bytes(&self.config, &self.tokenizer, &self.weights)?;
        for text in ["", "The film was long .", "\0é这😀 [MASK] <mask>"] {
            base.token_ids(text);
        }
        let task = Numbers::new(&MODELS[0]).task();
        let learner = Learner::new(base.clone(), &task, &LoraSettings::default())?;
        learner.scores(&[learner.encode("The film was long ."), learner.encode("")])?;
        Ok(base)
    }
}

/// Any of the golden models.
pub(crate) fn seeds() -> impl Strategy<Value = &'static Model> {
    prop::sample::select(MODELS.iter().collect::<Vec<_>>())
}

/// The error that damaged files must give; its words name every one of `named`.
#[track_caller]
pub(crate) fn refused(files: &Files, named: &[&str]) -> LearnerError {
    let error = match files.try_out() {
        Ok(_) => panic!("accepted; expected an error that names {named:?}"),
        Err(error) => error,
    };
    let words = error.to_string();
    for name in named {
        assert!(words.contains(name), "{words:?} does not name {name:?}");
    }
    error
}

#[track_caller]
pub(crate) fn assert_one_line(error: &LearnerError) {
    let words = error.to_string();
    assert!(!words.contains('\n'), "more than one line: {words:?}");
    assert!(words.len() < 600, "{} bytes: {words:.600}", words.len());
}
