//! A base model asked one task, through an adapter.

use std::sync::OnceLock;

use fl_core::adapter::{Adapter, AdapterLayout};
use fl_core::settings::LoraSettings;
use fl_core::soft_labels::softmax;
use fl_core::task::Task;

use candle_core::{Device, Tensor};

use crate::dropout::Noise;
use crate::error::LearnerError;
use crate::evaluation::{Evaluation, Tally, log_sum_exp};
use crate::model::BaseModel;
use crate::prompt::{Encoded, Prompt};
use crate::trainer::{Example, Gradient};
use crate::tuning::{Ready, Tuning};
use crate::{Result, verbalizer};

/// Most tokens that one forward pass holds, so that memory stays small whatever is asked.
const TOKENS_AT_ONCE: usize = 1024;

/// A task's learner: encodes texts, scores labels, makes gradients. Clones share the base model.
#[derive(Clone, Debug)]
pub struct Learner {
    base: BaseModel,
    task: Task,
    tuning: Tuning,
    prompt: Prompt,
    /// Token ids of each label's words.
    words: Vec<Vec<u32>>,
    layout: AdapterLayout,
    adapter: Adapter,
    /// The model with the adapter in it, made when first asked for.
    ready: OnceLock<Ready>,
}

impl Learner {
    /// A learner with the initial adapter of seed 0, which changes nothing in the base model.
    ///
    /// # Errors
    /// A task out of its range, a label word that is not one token of the vocabulary, or a
    /// pattern that leaves no room for text.
    pub fn new(base: BaseModel, task: &Task, lora: &LoraSettings) -> Result<Self> {
        Self::tuned_by(base, task, Tuning::Lora(lora.clone()))
    }

    /// A learner that trains every parameter of the model, from the base model's own values on.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn full(base: BaseModel, task: &Task) -> Result<Self> {
        Self::tuned_by(base, task, Tuning::Full)
    }

    /// A learner whose training changes what `tuning` says.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn tuned_by(base: BaseModel, task: &Task, tuning: Tuning) -> Result<Self> {
        task.check()?;
        tuning.check(&base)?;
        Ok(Self {
            words: verbalizer::label_words(base.vocabulary(), &task.labels)?,
            prompt: Prompt::new(base.vocabulary(), task, base.positions())?,
            adapter: tuning.initial(&base, 0),
            layout: tuning.layout(&base),
            task: task.clone(),
            tuning,
            base,
            ready: OnceLock::new(),
        })
    }

    /// The base model.
    pub fn base(&self) -> &BaseModel {
        &self.base
    }

    /// The task.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Number of the task's labels.
    pub fn labels(&self) -> usize {
        self.task.labels.len()
    }

    /// Names and shapes of this model's adapters.
    pub fn layout(&self) -> AdapterLayout {
        self.layout.clone()
    }

    /// What training changes.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// A first adapter, the same for the same seed everywhere: A uniform in ±1/√in and B zero;
    /// for full training the base model's values, whatever the seed.
    pub fn initial_adapter(&self, seed: u32) -> Adapter {
        self.tuning.initial(&self.base, seed)
    }

    /// The text in the task's pattern; a long text is cut at its end, the pattern never.
    ///
    /// Takes time in proportion to the prompt's length, not the text's.
    pub fn encode(&self, text: &str) -> Encoded {
        self.prompt.encode(self.base.vocabulary(), text)
    }

    /// Takes over an adapter.
    ///
    /// # Errors
    /// [`LearnerError::Adapter`] when it is not of this [`Self::layout`] or not finite.
    pub fn load(&mut self, adapter: &Adapter) -> Result<()> {
        self.layout.check(adapter)?;
        self.adapter = adapter.clone();
        self.ready = OnceLock::new();
        Ok(())
    }

    /// The adapter as it is now.
    pub fn adapter(&self) -> Adapter {
        self.adapter.clone()
    }

    /// For each text the score of each label: the mean logit of the label's words at the mask.
    ///
    /// The texts are packed one after the other without padding, at most about a thousand tokens
    /// at once, and the adapter is merged into the weights once.
    ///
    /// # Errors
    /// [`LearnerError::Compute`] when a computation fails.
    pub fn scores(&self, texts: &[Encoded]) -> Result<Vec<Vec<f32>>> {
        let ready = match self.ready.get() {
            Some(ready) => ready,
            None => {
                let ready = self.tuning.ready(&self.base, &self.words, &self.adapter)?;
                self.ready.get_or_init(|| ready)
            }
        };
        let mut scores = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(fitting(rest));
            let batch: Vec<&Encoded> = batch.iter().collect();
            let rows = self.base.forward(&batch, &ready.active, &ready.head)?;
            scores.extend(rows.to_vec2::<f32>()?);
            rest = later;
        }
        Ok(scores)
    }

    /// Quality on labelled texts. [`Tally`] does the same in steps.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] when a text lacks its label or a label is not of the task.
    pub fn evaluate(&self, texts: &[Encoded], labels: &[usize]) -> Result<Evaluation> {
        let mut tally = Tally::new(self.labels());
        tally.add(&self.scores(texts)?, labels)?;
        Ok(tally.evaluation())
    }

    /// Loss and gradient of one batch: Σ wᵢ · CEᵢ / Σ wᵢ with CE = −Σ_l target_l ln q_l and q the
    /// softmax of the label scores. A batch whose weights are all zero has loss and gradient zero.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] for an empty batch or a target of other length than the labels,
    /// [`LearnerError::Diverged`] when the loss is not finite.
    pub fn gradient(&self, batch: &[Example]) -> Result<Gradient> {
        self.gradient_with(batch, None)
    }

    /// The same with LoRA's dropout, as a training step has it; `noise` decides what is left out.
    ///
    /// # Errors
    /// Those of [`Self::gradient`].
    pub fn training_gradient(&self, batch: &[Example], noise: Noise) -> Result<Gradient> {
        self.gradient_with(batch, Some(noise))
    }

    fn gradient_with(&self, batch: &[Example], noise: Option<Noise>) -> Result<Gradient> {
        self.check_batch(batch)?;
        let prompts: Vec<&Encoded> = batch.iter().map(|example| &example.encoded).collect();
        let (base, words) = (&self.base, &self.words);
        let trainable = self
            .tuning
            .trainable(base, words, &self.adapter, &prompts, noise)?;
        let Ready { active, head } = &trainable.ready;
        let scores = base.forward(&prompts, active, head)?;
        let weight: f32 = batch.iter().map(|example| example.weight).sum();
        let (mut loss, mut slopes) = (0.0, Vec::new());
        for (example, scores) in batch.iter().zip(scores.to_vec2::<f32>()?) {
            let share = example.weight / weight.max(f32::MIN_POSITIVE);
            loss += share * cross_entropy(&scores, &example.target);
            let mass: f32 = example.target.iter().sum();
            let probabilities = softmax(&scores, 1.0);
            let slope = probabilities.iter().zip(&example.target);
            slopes.extend(slope.map(|(q, target)| share * (q * mass - target)));
        }
        if !loss.is_finite() {
            let what = "training loss";
            return Err(LearnerError::Diverged { what, got: loss });
        }
        // The slopes are the loss's own gradient, so this sum has the loss's gradients.
        let slopes = Tensor::from_vec(slopes, scores.shape(), &Device::Cpu)?;
        let gradients = (scores * slopes)?.sum_all()?.backward()?;
        let mut matrices = Adapter::default();
        for variable in trainable.variables {
            let shape = self.layout.shapes[&variable.name];
            let matrix = variable.gradient(&gradients, shape)?;
            matrices.matrices.insert(variable.name, matrix);
        }
        Ok(Gradient {
            loss,
            weight,
            matrices,
        })
    }

    /// Lets `change` move the adapter's values.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Adapter)) {
        change(&mut self.adapter);
        self.ready = OnceLock::new();
    }

    fn check_batch(&self, batch: &[Example]) -> Result<()> {
        if batch.is_empty() {
            return Err(LearnerError::argument("batch", "at least one example", 0));
        }
        for example in batch {
            if example.target.len() != self.labels() {
                let got = example.target.len();
                return Err(LearnerError::argument("target", self.labels(), got));
            }
            let numbers = example.target.iter().chain([&example.weight]);
            if let Some(got) = numbers.into_iter().find(|n| !(n.is_finite() && **n >= 0.0)) {
                let expected = "finite numbers from 0";
                return Err(LearnerError::argument("target or weight", expected, got));
            }
        }
        Ok(())
    }
}

/// −Σ target · ln softmax(scores)
fn cross_entropy(scores: &[f32], target: &[f32]) -> f32 {
    let total = log_sum_exp(scores);
    let terms = scores.iter().zip(target);
    terms.map(|(score, target)| target * (total - score)).sum()
}

/// How many of the first texts go into one forward pass; at least one.
fn fitting(texts: &[Encoded]) -> usize {
    let mut tokens = 0;
    let fits = |text: &&Encoded| {
        tokens += text.ids().len();
        tokens <= TOKENS_AT_ONCE
    };
    texts.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests;
