//! The three pieces of work, written to folders that every engine reads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use browser_bench::{Batch, Files, Prompt, Work};
use fl_core::adapter::Adapter;
use fl_core::random::{Purpose, generator};
use fl_core::settings::{Decay, LoraSettings, TrainingSettings};
use fl_core::task::Task;
use learner::{BaseModel, Learner, peft, texts};
use rand::RngExt as _;

use super::flops::Sizes;
use super::random::{BASE, MINI, SMALL, Shape};

/// Prompts of a batch.
const BATCH: usize = 8;
/// Tokens of a prompt of MINI and SMALL.
const TOKENS: usize = 64;
/// Bundled reviews that REAL is made of.
const REVIEWS: usize = 64;
const SEED: u32 = 7;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Name {
    /// Four layers of 256 with random weights; 8 sequences of 64 tokens
    Mini,
    /// Six layers of 384 with random weights; 8 sequences of 64 tokens
    Small,
    /// The bundled model on bundled reviews with their real lengths, in batches of 8
    Real,
    /// BERT-base's shape with random weights in f16; 8 sequences of 64 tokens, ours alone
    Base,
}

/// A work's folder, and what must be known of it.
pub struct Folder {
    pub name: Name,
    pub path: PathBuf,
    pub work: Work,
    pub sizes: Sizes,
    contents: Contents,
}

struct Contents {
    work: Vec<u8>,
    config: Vec<u8>,
    tokenizer: Vec<u8>,
    weights: Vec<u8>,
    adapter_config: Vec<u8>,
    adapter: Vec<u8>,
}

/// The model and texts that REAL is made of.
pub struct Bundled<'a> {
    pub model: &'a Path,
    pub corpora: &'a Path,
}

impl Name {
    /// As it is printed, and the name of its folder.
    pub fn text(self) -> &'static str {
        match self {
            Self::Mini => "MINI",
            Self::Small => "SMALL",
            Self::Real => "REAL",
            Self::Base => "BASE",
        }
    }

    /// Writes the work to a folder of its name.
    ///
    /// # Errors
    /// A bundled file that cannot be read, or a folder that cannot be written.
    pub fn write(self, folder: &Path, bundled: &Bundled) -> Result<Folder> {
        let read = |path: PathBuf| {
            fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let [config, tokenizer, weights] = match self {
            Self::Mini => generate(MINI),
            Self::Small => generate(SMALL),
            Self::Base => generate(BASE),
            Self::Real => {
                let part = |name: &str| read(bundled.model.join(name));
                let (config, tokenizer) = (part("config.json")?, part("tokenizer.json")?);
                [config, tokenizer, part("model.safetensors")?]
            }
        };
        let base = BaseModel::from_bytes(&config, &tokenizer, &weights)?;
        let task = Task::reviews();
        let lora = LoraSettings::default();
        let learner = Learner::new(base, &task, &lora)?;
        let texts = match self {
            Self::Mini => random_texts(MINI),
            Self::Small => random_texts(SMALL),
            Self::Base => random_texts(BASE),
            Self::Real => {
                let bytes = read(bundled.corpora.join("reviews/train.csv"))?;
                reviews(&bytes, &task)?
            }
        };
        let work = Work {
            name: self.text().into(),
            scale: lora.scale(),
            training: TrainingSettings {
                learning_rate: 1e-3,
                warmup: 0.0,
                decay: Decay::Constant,
                clip_norm: 0.0,
                ..TrainingSettings::default()
            },
            words: words(&learner)?,
            batches: batches(&learner, texts),
            task,
            lora,
        };
        let base = learner.base();
        let contents = Contents {
            work: serde_json::to_vec(&work)?,
            adapter_config: peft::config(base, &work.lora, self.text()),
            adapter: peft::weights(&first_adapter(&learner)),
            config,
            tokenizer,
            weights,
        };
        let folder = Folder {
            name: self,
            path: folder.join(self.text()),
            sizes: sizes(&contents.config, &work)?,
            work,
            contents,
        };
        folder.store()?;
        Ok(folder)
    }
}

impl Folder {
    /// The files for the engines of this process.
    pub fn files(&self) -> Files<'_> {
        let contents = &self.contents;
        Files {
            work: &contents.work,
            config: &contents.config,
            tokenizer: &contents.tokenizer,
            weights: &contents.weights,
            adapter_config: &contents.adapter_config,
            adapter: &contents.adapter,
        }
    }

    fn store(&self) -> Result<()> {
        let store = |name: &str, bytes: &[u8]| {
            let path = self.path.join(name);
            fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))
        };
        fs::create_dir_all(&self.path)
            .with_context(|| format!("{} cannot be made", self.path.display()))?;
        let contents = &self.contents;
        store("work.json", &contents.work)?;
        store("config.json", &contents.config)?;
        store("tokenizer.json", &contents.tokenizer)?;
        store("model.safetensors", &contents.weights)?;
        store("adapter_config.json", &contents.adapter_config)?;
        store("adapter_model.safetensors", &contents.adapter)
    }
}

fn generate(shape: Shape) -> [Vec<u8>; 3] {
    [shape.config(), shape.tokenizer(), shape.weights(SEED)]
}

/// Texts that fill a prompt with the pattern around them, labelled in turn.
fn random_texts(shape: Shape) -> Vec<(String, usize)> {
    // Start, mask and end; "it", "was" and the full stop.
    let length = TOKENS - 6;
    let mut rng = generator(SEED, Purpose::Partition, 0);
    let mut text = || {
        let word = |_| format!("w{}", rng.random_range(0..shape.words()));
        (0..length).map(word).collect::<Vec<_>>().join(" ")
    };
    (0..BATCH).map(|index| (text(), index % 2)).collect()
}

fn reviews(bytes: &[u8], task: &Task) -> Result<Vec<(String, usize)>> {
    let texts = texts::read(bytes, task)?;
    let labelled = texts.rows.into_iter().filter_map(|row| {
        let text = row.texts().next()?.to_owned();
        Some((text, row.label?))
    });
    Ok(labelled.take(REVIEWS).collect())
}

fn words(learner: &Learner) -> Result<Vec<Vec<u32>>> {
    let id = |word: &String| {
        let ids = learner.base().token_ids(word);
        ids.first().copied().context("a label word is empty")
    };
    let labels = learner.task().labels.iter();
    let labels = labels.map(|label| label.words.iter().map(id).collect());
    labels.collect()
}

fn batches(learner: &Learner, texts: Vec<(String, usize)>) -> Vec<Batch> {
    let prompt = |(text, label): &(String, usize)| {
        let encoded = learner.encode(text);
        let cloze = &encoded.prompts()[0];
        Prompt {
            text: text.clone(),
            ids: cloze.ids().to_vec(),
            mask: cloze.mask(),
            label: *label,
        }
    };
    let batch = |texts: &[(String, usize)]| Batch {
        prompts: texts.iter().map(prompt).collect(),
    };
    texts.chunks(BATCH).map(batch).collect()
}

/// An adapter whose B is not zero, so that gradients reach A from the first step on.
fn first_adapter(learner: &Learner) -> Adapter {
    let mut rng = generator(SEED, Purpose::Initialisation, 2);
    let mut adapter = learner.initial_adapter(SEED);
    for (name, matrix) in &mut adapter.matrices {
        if name.ends_with("lora_B.weight") {
            let values = matrix.values.iter_mut();
            values.for_each(|value| *value = (rng.random::<f32>() * 2.0 - 1.0) * 0.02);
        }
    }
    adapter
}

fn sizes(config: &[u8], work: &Work) -> Result<Sizes> {
    let config: serde_json::Value = serde_json::from_slice(config)?;
    let field = |name: &str| {
        let value = config[name].as_u64();
        value.with_context(|| format!("config.json has no number {name}"))
    };
    Ok(Sizes {
        layers: field("num_hidden_layers")?,
        heads: field("num_attention_heads")?,
        hidden: field("hidden_size")?,
        intermediate: field("intermediate_size")?,
        rank: work.lora.rank.into(),
        words: work.words.len() as u64,
    })
}
