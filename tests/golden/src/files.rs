//! The committed files, compiled in: a browser's test has no disk.

use learner::BaseModel;

/// One model and what PyTorch says of it.
#[derive(Debug)]
pub struct Model {
    /// Its folder in `models/`.
    pub name: &'static str,
    /// `config.json`
    pub config: &'static [u8],
    /// `tokenizer.json`
    pub tokenizer: &'static [u8],
    /// `model.safetensors`
    pub weights: &'static [u8],
    /// `adapter_config.json` of an adapter on every projection, as PEFT saved it.
    pub adapter_config: &'static [u8],
    /// `adapter_model.safetensors` of the same.
    pub adapter_weights: &'static [u8],
    pub(crate) numbers: &'static [u8],
    pub(crate) tensors: &'static [u8],
    pub(crate) tokens: &'static [u8],
}

impl Model {
    /// Whether this is an architecture's own model, as transformers saved it, and no variant.
    pub fn is_of_its_own(&self) -> bool {
        !self.name.contains('-')
    }

    /// The model that the files hold.
    pub fn load(&self) -> BaseModel {
        BaseModel::from_bytes(self.config, self.tokenizer, self.weights).unwrap()
    }
}

macro_rules! file {
    ($($part:literal),*) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $($part),*))
    };
}
pub(crate) use file;

/// A model of one architecture, or the same values in other files.
macro_rules! model {
    ($name:literal) => {
        model!($name, numbers of $name)
    };
    ($name:literal, numbers of $other:literal) => {
        Model {
            name: $name,
            config: file!("models/", $name, "/config.json"),
            tokenizer: file!("models/", $name, "/tokenizer.json"),
            weights: file!("models/", $name, "/model.safetensors"),
            adapter_config: file!("models/", $other, "/all/adapter_config.json"),
            adapter_weights: file!("models/", $other, "/all/adapter_model.safetensors"),
            numbers: file!("models/", $other, "/numbers.json"),
            tensors: file!("models/", $other, "/numbers.safetensors"),
            tokens: file!("models/", $other, "/tokens.json"),
        }
    };
}

/// Every model that the learner is compared on. `bert-2018` holds the values of `bert` in f16,
/// under TensorFlow's names and without the prefix `bert.`
pub const MODELS: &[Model] = &[
    model!("bert"),
    model!("bert-2018", numbers of "bert"),
    model!("roberta"),
    model!("distilbert"),
    model!("electra"),
    model!("albert"),
    model!("modernbert"),
];

/// The model of this name.
pub fn model(name: &str) -> &'static Model {
    let named = MODELS.iter().find(|model| model.name == name);
    named.unwrap_or_else(|| panic!("no golden model is called {name}"))
}
