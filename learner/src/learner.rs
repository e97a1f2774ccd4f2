//! A base model asked one task, through an adapter.

use std::sync::{Arc, OnceLock};

use fl_core::adapter::{Adapter, AdapterLayout};
use fl_core::settings::LoraSettings;
use fl_core::soft_labels::softmax;
use fl_core::task::{Calibration, Task};

use candle_core::{Device, Tensor};

use crate::calibration::{self, CONTENT_FREE};
use crate::dropout::{Masking, Noise, Place};
use crate::error::LearnerError;
use crate::evaluation::{Evaluation, Tally, log_sum_exp};
use crate::model::{BaseModel, Lower};
use crate::prompt::{Cloze, Encoded, Prompt};
use crate::texts::Row;
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
    /// What is subtracted from each label's score; empty for nothing.
    offsets: Vec<f32>,
    /// The model with the adapter in it, made when first asked for.
    ready: OnceLock<Ready>,
    /// What the layers that are not adapted give, where the lowest ones are not.
    lower: Option<Arc<Lower>>,
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
        let vocabulary = base.vocabulary();
        let prompt = Prompt::new(vocabulary, task, base.positions())?;
        let blank_before = prompt.has_blank_before_mask();
        Ok(Self {
            words: verbalizer::label_words(vocabulary, &task.labels, blank_before)?,
            prompt,
            adapter: tuning.initial(&base, 0),
            layout: tuning.layout(&base),
            lower: lower(&base, &tuning),
            task: task.clone(),
            tuning,
            base,
            offsets: Vec::new(),
            ready: OnceLock::new(),
        })
    }

    /// The base model.
    pub fn base(&self) -> &BaseModel {
        &self.base
    }

    /// The same learner on a model whose weights were changed: one of [`BaseModel::plus`].
    pub fn on(mut self, base: BaseModel) -> Self {
        self.lower = lower(&base, &self.tuning);
        self.base = base;
        self.ready = OnceLock::new();
        self
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

    /// The text in the task's patterns; a long text is cut, the patterns never. Where the task
    /// has two texts, the second one is empty.
    ///
    /// Takes time in proportion to the prompt's length, not the text's.
    pub fn encode(&self, text: &str) -> Encoded {
        self.prompt.encode(self.base.vocabulary(), &[text])
    }

    /// The text or the two texts of a row in the task's patterns, as [`Self::encode`].
    pub fn encode_row(&self, row: &Row) -> Encoded {
        let texts: Vec<&str> = row.texts().collect();
        self.prompt.encode(self.base.vocabulary(), &texts)
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

    /// The adapter as it is now, where it lies.
    pub fn current(&self) -> &Adapter {
        &self.adapter
    }

    /// For each text the score of each label: the mean logit of the label's words at the mask,
    /// averaged over the patterns, less the calibration's offset.
    ///
    /// The prompts are packed one after the other without padding, at most about a thousand tokens
    /// at once, and the adapter is merged into the weights once.
    ///
    /// # Errors
    /// [`LearnerError::Compute`] when a computation fails.
    pub fn scores(&self, texts: &[Encoded]) -> Result<Vec<Vec<f32>>> {
        let mut scores = self.raw_scores(texts)?;
        self.subtract_offsets(&mut scores);
        Ok(scores)
    }

    /// The offset of each label that the task's calibration asks for, by the adapter that is
    /// loaded: in a room the initial one, so that the prior is the base model's. It is taken over
    /// the content-free prompts, or over these texts, whose labels are not looked at; of very many
    /// texts, over [`calibration::PRIOR_TEXTS`]. Empty, for no offsets, where the task is not
    /// calibrated or there is no text.
    ///
    /// # Errors
    /// Those of [`Self::scores`].
    pub fn prior(&self, texts: &[Encoded]) -> Result<Vec<f32>> {
        let texts: Vec<Encoded> = match self.task.calibration {
            Calibration::None => Vec::new(),
            Calibration::ContentFree => CONTENT_FREE.map(|text| self.encode(text)).into(),
            Calibration::Unlabelled => calibration::sample(texts).cloned().collect(),
        };
        let scores = self.raw_scores(&texts)?;
        Ok(calibration::offsets(self.task.calibration, &scores))
    }

    /// Subtracts these offsets from now on, whatever adapter is loaded; none at all if empty.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] when they are not one finite number for each label.
    pub fn calibrate(&mut self, offsets: Vec<f32>) -> Result<()> {
        let finite = offsets.iter().all(|offset| offset.is_finite());
        if !finite || !(offsets.is_empty() || offsets.len() == self.labels()) {
            let expected = format!("{} finite numbers or none", self.labels());
            let got = format!("{offsets:?}");
            return Err(LearnerError::argument("calibration", expected, got));
        }
        self.offsets = offsets;
        Ok(())
    }

    /// What [`Self::calibrate`] took last; empty for nothing.
    pub fn offsets(&self) -> &[f32] {
        &self.offsets
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
        let texts = batch.iter().map(|example| &example.encoded);
        let places: Vec<Place> = Place::of_all(texts).collect();
        self.part_gradient(batch, noise, &places)
    }

    /// The same for a part of a batch; `places` are its examples' in the whole one.
    pub(crate) fn part_gradient(
        &self,
        part: &[Example],
        noise: Noise,
        places: &[Place],
    ) -> Result<Gradient> {
        let texts = part.iter().map(|example| &example.encoded);
        self.gradient_with(part, Some(Masking::new(noise, texts, places)))
    }

    fn gradient_with(&self, batch: &[Example], masking: Option<Masking>) -> Result<Gradient> {
        self.check_batch(batch)?;
        let texts = batch.iter().map(|example| &example.encoded);
        let prompts: Vec<&Cloze> = texts.clone().flat_map(Encoded::prompts).collect();
        let (base, words) = (&self.base, &self.words);
        let trainable = self
            .tuning
            .trainable(base, words, &self.adapter, &prompts, masking)?;
        let Ready { active, head } = &trainable.ready;
        let rows = base.forward(&prompts, active, head, self.lower.as_deref())?;
        let mut scores = mean_over_patterns(texts, rows.to_vec2()?);
        self.subtract_offsets(&mut scores);
        let weight: f32 = batch.iter().map(|example| example.weight).sum();
        let (mut loss, mut slopes) = (0.0, Vec::new());
        for (example, scores) in batch.iter().zip(scores) {
            let share = example.weight / weight.max(f32::MIN_POSITIVE);
            loss += share * cross_entropy(&scores, &example.target);
            let mass: f32 = example.target.iter().sum();
            let probabilities = softmax(&scores, 1.0);
            // Each of the averaged prompts has its part of the slope.
            let patterns = example.encoded.prompts().len();
            let slope = |(q, target): (&f32, &f32)| share * (q * mass - target) / patterns as f32;
            let slope = probabilities.iter().zip(&example.target).map(slope);
            slopes.extend(std::iter::repeat_n(slope, patterns).flatten());
        }
        if !loss.is_finite() {
            let what = "training loss";
            return Err(LearnerError::Diverged { what, got: loss });
        }
        // The slopes are the loss's own gradient, so this sum has the loss's gradients.
        let slopes = Tensor::from_vec(slopes, rows.shape(), &Device::Cpu)?;
        let gradients = (rows * slopes)?.sum_all()?.backward()?;
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

    /// For each text the logits of these words, averaged over the patterns.
    pub(crate) fn raw_scores(&self, texts: &[Encoded]) -> Result<Vec<Vec<f32>>> {
        let Ready { active, head } = match self.ready.get() {
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
            let prompts: Vec<&Cloze> = batch.iter().flat_map(Encoded::prompts).collect();
            let rows = self
                .base
                .forward(&prompts, active, head, self.lower.as_deref())?;
            scores.extend(mean_over_patterns(batch.iter(), rows.to_vec2()?));
            rest = later;
        }
        Ok(scores)
    }

    /// Asks for the scores of other words than the labels', each list's mean.
    pub(crate) fn asking(mut self, words: Vec<Vec<u32>>) -> Self {
        self.words = words;
        self.ready = OnceLock::new();
        self
    }

    fn subtract_offsets(&self, scores: &mut [Vec<f32>]) {
        for scores in scores {
            for (score, offset) in scores.iter_mut().zip(&self.offsets) {
                *score -= offset;
            }
        }
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

fn lower(base: &BaseModel, tuning: &Tuning) -> Option<Arc<Lower>> {
    let layer = tuning.lowest_layer(base)?;
    Some(Arc::new(Lower::new(layer)))
}

/// −Σ target · ln softmax(scores)
fn cross_entropy(scores: &[f32], target: &[f32]) -> f32 {
    let total = log_sum_exp(scores);
    let terms = scores.iter().zip(target);
    terms.map(|(score, target)| target * (total - score)).sum()
}

/// Each text's row from the rows of its prompts.
fn mean_over_patterns<'a>(
    texts: impl Iterator<Item = &'a Encoded>,
    rows: Vec<Vec<f32>>,
) -> Vec<Vec<f32>> {
    let mut rows = rows.into_iter();
    let mean = |text: &Encoded| {
        let patterns = text.prompts().len();
        let mut mean = rows.next().unwrap_or_default();
        for row in rows.by_ref().take(patterns - 1) {
            mean.iter_mut()
                .zip(row)
                .for_each(|(sum, score)| *sum += score);
        }
        mean.iter_mut().for_each(|sum| *sum /= patterns as f32);
        mean
    };
    texts.map(mean).collect()
}

/// How many of the first texts go into one forward pass; at least one.
fn fitting(texts: &[Encoded]) -> usize {
    let mut tokens = 0;
    let fits = |text: &&Encoded| {
        tokens += text.tokens();
        tokens <= TOKENS_AT_ONCE
    };
    texts.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod calibration_tests;
#[cfg(test)]
mod tests;
