//! `numbers.json` and `numbers.safetensors` of one model, read.

use std::collections::BTreeMap;

use fl_core::adapter::{Adapter, Matrix};
use fl_core::settings::{Decay, TrainingSettings};
use fl_core::task::Task;
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::Model;

/// What PyTorch says of one model, with what it was asked.
#[derive(Debug, Deserialize)]
pub struct Numbers {
    pattern: String,
    words: Vec<String>,
    max_tokens: u32,
    /// The label words' ids.
    pub word_ids: Vec<u32>,
    /// The texts.
    pub texts: Vec<String>,
    /// Each text in the pattern, as token ids.
    pub prompts: Vec<Vec<u32>>,
    /// What is learned from.
    pub examples: Vec<Example>,
    /// Indices of the examples of each training step.
    pub batches: Vec<Vec<usize>>,
    /// Rank of the adapters.
    pub rank: u32,
    /// Alpha of the adapters.
    pub alpha: f32,
    training: Training,
    full_training: Training,
    /// LoRA on query and value.
    pub attention: Run,
    /// LoRA on every projection of a layer.
    pub all: Run,
    /// Training of every parameter.
    pub full: Option<Run>,
    #[serde(skip)]
    tensors: BTreeMap<String, Matrix>,
}

/// A text with its target and weight.
#[derive(Debug, Deserialize)]
pub struct Example {
    /// Index of the text.
    pub text: usize,
    /// Probability of each label.
    pub target: Vec<f32>,
    /// Weight of its loss.
    pub weight: f32,
}

/// One way of training.
#[derive(Debug, Deserialize)]
pub struct Run {
    /// Loss of all examples in one batch, before training.
    pub loss: f32,
    /// The limit of the gradient's norm.
    pub clip_norm: f32,
    /// Loss of each step.
    pub losses: Vec<f32>,
    /// Norm of each step's gradient before clipping.
    pub norms: Vec<f32>,
}

#[derive(Debug, Deserialize)]
struct Training {
    learning_rate: f32,
    weight_decay: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    warmup: f32,
}

impl Numbers {
    /// The numbers of a model.
    pub fn new(model: &Model) -> Self {
        let mut numbers: Self = serde_json::from_slice(model.numbers).unwrap();
        numbers.tensors = read(model.tensors);
        numbers
    }

    /// The two-label task that the numbers are about.
    pub fn task(&self) -> Task {
        let [negative, positive] = [0, 1].map(|label| [self.words[label].as_str()]);
        let labels: [(&str, &[&str]); 2] = [("negative", &negative), ("positive", &positive)];
        Task {
            max_tokens: self.max_tokens,
            ..Task::new("Golden", &self.pattern, &labels)
        }
    }

    /// The settings of the ten steps of an adapter.
    pub fn training(&self, run: &Run) -> TrainingSettings {
        self.training.settings(run)
    }

    /// The settings of the ten steps of every parameter.
    pub fn full_training(&self, run: &Run) -> TrainingSettings {
        self.full_training.settings(run)
    }

    /// One tensor; (texts, labels) for logits.
    pub fn tensor(&self, name: &str) -> &Matrix {
        let tensor = self.tensors.get(name);
        tensor.unwrap_or_else(|| panic!("numbers.safetensors has no {name}"))
    }

    /// The tensors whose names start with `prefix`, without it.
    pub fn tensors(&self, prefix: &str) -> Adapter {
        let named = self.tensors.iter();
        let named = named.filter_map(|(name, matrix)| {
            Some((name.strip_prefix(prefix)?.to_owned(), matrix.clone()))
        });
        Adapter {
            matrices: named.collect(),
        }
    }
}

impl Training {
    fn settings(&self, run: &Run) -> TrainingSettings {
        TrainingSettings {
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            warmup: self.warmup,
            decay: Decay::Linear,
            clip_norm: run.clip_norm,
            ..TrainingSettings::default()
        }
    }
}

/// Every tensor of a safetensors file of f32; a vector is one row.
pub(crate) fn read(bytes: &[u8]) -> BTreeMap<String, Matrix> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let matrix = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        assert_eq!(view.dtype(), safetensors::Dtype::F32, "{name}");
        let (rows, columns) = match *view.shape() {
            [columns] => (1, columns),
            [rows, columns] => (rows, columns),
            ref shape => panic!("{name}: {shape:?}"),
        };
        let quads = view.data().as_chunks::<4>().0;
        let values = quads.iter().map(|&quad| f32::from_le_bytes(quad)).collect();
        let matrix = Matrix {
            rows,
            columns,
            values,
        };
        (name, matrix)
    };
    file.tensors().into_iter().map(matrix).collect()
}
