//! A masked BERT with LoRA on query and value as one writes it with candle: ordinary operations,
//! automatic gradients of everything, padded batches. What our learner is measured against.

mod model;
mod parts;
mod tensors;

use candle_core::{D, Device, Tensor, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW, loss, ops};

pub use candle_core::{Error, Result};
pub use model::Model;

use tensors::Tensors;

/// What a model is trained and asked with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The factor before B · A.
    pub scale: f64,
    /// Token ids of each label's words.
    pub words: Vec<Vec<u32>>,
    /// AdamW's numbers.
    pub optimizer: ParamsAdamW,
}

/// Prompts of any lengths with one mask each, padded to the longest.
#[derive(Clone, Debug)]
pub struct Batch {
    /// (B, T)
    ids: Tensor,
    /// What is added to the attention's scores, (B, 1, 1, T); nothing where no prompt is padded.
    padding: Option<Tensor>,
    /// Rows of the masks among the B · T hidden states.
    masks: Tensor,
    /// (B)
    labels: Tensor,
}

impl Batch {
    /// Token ids, the mask's position and the label of each prompt.
    ///
    /// # Errors
    /// An empty batch.
    pub fn new<'a>(prompts: impl IntoIterator<Item = (&'a [u32], usize, usize)>) -> Result<Self> {
        let prompts: Vec<_> = prompts.into_iter().collect();
        let longest = prompts.iter().map(|(ids, ..)| ids.len()).max().unwrap_or(0);
        let (mut ids, mut padding) = (Vec::new(), Vec::new());
        for (prompt, ..) in &prompts {
            let rest = longest - prompt.len();
            ids.extend_from_slice(prompt);
            ids.extend(std::iter::repeat_n(0, rest));
            padding.extend(std::iter::repeat_n(0.0f32, prompt.len()));
            padding.extend(std::iter::repeat_n(f32::MIN, rest));
        }
        let count = prompts.len();
        let rows = prompts.iter().enumerate();
        let masks: Vec<u32> = rows
            .map(|(row, (_, mask, _))| (row * longest + mask) as u32)
            .collect();
        let labels: Vec<u32> = prompts.iter().map(|&(.., label)| label as u32).collect();
        let padded = padding.iter().any(|value| *value != 0.0);
        let padding = Tensor::from_vec(padding, (count, 1, 1, longest), &Device::Cpu)?;
        Ok(Self {
            ids: Tensor::from_vec(ids, (count, longest), &Device::Cpu)?,
            padding: padded.then_some(padding),
            masks: Tensor::from_vec(masks, count, &Device::Cpu)?,
            labels: Tensor::from_vec(labels, count, &Device::Cpu)?,
        })
    }
}

/// A model, its LoRA matrices and their optimizer.
#[derive(Debug)]
pub struct Trainer {
    base: Model,
    adapter: Tensors,
    settings: Settings,
    trained: Model,
    optimizer: AdamW,
    /// The model with the first adapter merged into it.
    merged: Model,
}

impl Trainer {
    /// From `config.json`, `model.safetensors` and an adapter in PEFT's names.
    ///
    /// # Errors
    /// A field or tensor that is missing or does not fit.
    pub fn new(config: &[u8], weights: &[u8], adapter: &[u8], settings: Settings) -> Result<Self> {
        let base = Model::read(config, &Tensors::read(weights)?, &settings.words)?;
        let adapter = Tensors::read(adapter)?;
        let (trained, optimizer) = start(&base, &adapter, &settings)?;
        Ok(Self {
            merged: base.merged(&adapter, settings.scale)?,
            base,
            adapter,
            settings,
            trained,
            optimizer,
        })
    }

    /// Back to the first adapter, with a fresh optimizer.
    ///
    /// # Errors
    /// When memory is short.
    pub fn reset(&mut self) -> Result<()> {
        (self.trained, self.optimizer) = start(&self.base, &self.adapter, &self.settings)?;
        Ok(())
    }

    /// The probability of each label, prompt by prompt, by the first adapter.
    ///
    /// # Errors
    /// When a computation fails.
    pub fn probabilities(&self, batch: &Batch) -> Result<Vec<f32>> {
        let scores = self.merged.forward(batch)?;
        ops::softmax(&scores, D::Minus1)?.flatten_all()?.to_vec1()
    }

    /// One step on one batch; its loss before the step.
    ///
    /// # Errors
    /// When a computation fails.
    pub fn step(&mut self, batch: &Batch) -> Result<f32> {
        let loss = loss::cross_entropy(&self.trained.forward(batch)?, &batch.labels)?;
        self.optimizer.backward_step(&loss)?;
        loss.to_scalar()
    }
}

fn start(base: &Model, adapter: &Tensors, settings: &Settings) -> Result<(Model, AdamW)> {
    let mut variables: Vec<Var> = Vec::new();
    let trained = base.adapted(adapter, settings.scale, &mut variables)?;
    let optimizer = AdamW::new(variables, settings.optimizer.clone())?;
    Ok((trained, optimizer))
}
