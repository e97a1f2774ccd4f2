//! The committed files, compiled in: a browser's test has no disk.

use learner::{BaseModel, WeightFile};

/// One model and what PyTorch says of it.
#[derive(Debug)]
pub struct Model {
    /// Its folder in `models/`.
    pub name: &'static str,
    /// `config.json`
    pub config: &'static [u8],
    /// `tokenizer.json`
    pub tokenizer: &'static [u8],
    /// `model.safetensors`; empty where the weights are in shards.
    pub weights: &'static [u8],
    /// The names and contents of shards, where there are any.
    shards: &'static [(&'static str, &'static [u8])],
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
        let shard = |&(name, bytes): &(&str, &'static [u8])| WeightFile::from_bytes(name, bytes);
        let base = match self.shards {
            [] => BaseModel::from_bytes(self.config, self.tokenizer, self.weights),
            shards => {
                let shards = shards.iter().map(shard);
                BaseModel::from_files(self.config, self.tokenizer, shards)
            }
        };
        base.unwrap()
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
            shards: &[],
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

macro_rules! shards {
    ($($number:literal),*) => {
        &[$((
            concat!("model-0000", $number, "-of-00005.safetensors"),
            file!("models/electra-sharded/model-0000", $number, "-of-00005.safetensors"),
        )),*]
    };
}

/// The values of two of the models in other files: in shards, and with the configuration that
/// transformers wrote for ModernBERT in 2024.
pub const VARIANTS: &[Model] = &[
    Model {
        name: "electra-sharded",
        config: file!("models/electra-sharded/config.json"),
        tokenizer: file!("models/electra-sharded/tokenizer.json"),
        weights: &[],
        shards: shards!("1", "2", "3", "4", "5"),
        ..model!("electra")
    },
    Model {
        name: "modernbert-2024",
        config: file!("models/modernbert/config-2024.json"),
        ..model!("modernbert")
    },
];

/// [`MODELS`] and [`VARIANTS`].
pub fn every_model() -> impl Iterator<Item = &'static Model> {
    MODELS.iter().chain(VARIANTS)
}

/// The model of this name.
pub fn model(name: &str) -> &'static Model {
    let named = MODELS.iter().find(|model| model.name == name);
    named.unwrap_or_else(|| panic!("no golden model is called {name}"))
}
