//! The comparisons: prompts, logits, loss, gradients, ten steps of training.

use fl_core::adapter::{Adapter, Matrix};
use fl_core::settings::{LoraScaling, LoraSettings, LoraTarget, TrainingSettings};
use learner::{BaseModel, Encoded, Example, Learner, Trainer, peft};

use crate::measure::{error, largest_error};
use crate::{Measured, Model, Numbers, Run};

/// Every projection of a layer.
pub const ALL: [LoraTarget; 6] = [
    LoraTarget::Query,
    LoraTarget::Key,
    LoraTarget::Value,
    LoraTarget::AttentionOutput,
    LoraTarget::FeedForwardIn,
    LoraTarget::FeedForwardOut,
];

/// Compares everything about one model.
///
/// # Panics
/// Where the learner fails, or gives other token ids or tensors.
pub fn check(model: &'static Model) -> Vec<Measured> {
    let mut check = Check {
        model,
        base: model.load(),
        numbers: Numbers::new(model),
        measured: Vec::new(),
    };
    check.base_model();
    check.adapter("attention", &[LoraTarget::Query, LoraTarget::Value]);
    check.adapter("all", &ALL);
    check.saved_adapter();
    check.every_parameter();
    check.measured
}

struct Check {
    model: &'static Model,
    base: BaseModel,
    numbers: Numbers,
    measured: Vec<Measured>,
}

impl Check {
    fn learner(&self, lora: &LoraSettings) -> Learner {
        let learner = Learner::new(self.base.clone(), &self.numbers.task(), lora).unwrap();
        for (text, expected) in self.numbers.texts.iter().zip(&self.numbers.prompts) {
            let got = learner.encode(text);
            assert_eq!(
                got.prompts()[0].ids(),
                expected,
                "{}: {text:?}",
                self.model.name
            );
        }
        learner
    }

    fn lora(&self, targets: &[LoraTarget], scaling: LoraScaling) -> LoraSettings {
        LoraSettings {
            rank: self.numbers.rank,
            alpha: self.numbers.alpha,
            scaling,
            targets: targets.to_vec(),
            ..LoraSettings::default()
        }
    }

    fn encoded(&self, learner: &Learner) -> Vec<Encoded> {
        let texts = self.numbers.texts.iter();
        texts.map(|text| learner.encode(text)).collect()
    }

    fn examples(&self, learner: &Learner) -> Vec<Example> {
        let encoded = self.encoded(learner);
        let example = |example: &crate::numbers::Example| Example {
            encoded: encoded[example.text].clone(),
            target: example.target.clone(),
            weight: example.weight,
        };
        self.numbers.examples.iter().map(example).collect()
    }

    /// The logits without any adapter.
    fn base_model(&mut self) {
        let learner = self.learner(&LoraSettings::default());
        self.logits("base model, logits", "logits", &learner);
    }

    /// Everything about an adapter on some targets.
    fn adapter(&mut self, targets: &'static str, chosen: &[LoraTarget]) {
        let adapter = self.numbers.tensors(&format!("{targets}.start."));
        let loaded = |scaling| {
            let mut learner = self.learner(&self.lora(chosen, scaling));
            learner.load(&adapter).unwrap();
            learner
        };
        let learner = loaded(LoraScaling::Standard);
        let rslora = loaded(LoraScaling::RankStabilised);

        let name = |what: &str| format!("{targets}.{what}");
        self.logits(&name("logits"), &name("logits"), &learner);
        self.logits(&name("merged logits"), &name("merged_logits"), &learner);
        self.logits(&name("rsLoRA logits"), &name("rslora_logits"), &rslora);
        let settings = self.numbers.training(self.run(targets));
        self.training(targets, learner, &settings);
    }

    /// The adapter as PEFT saved it: its settings, and the logits with it.
    fn saved_adapter(&mut self) {
        let files = (self.model.adapter_config, self.model.adapter_weights);
        let saved = peft::read(&self.base, files.0, files.1).unwrap();
        assert_eq!(saved.lora, self.lora(&ALL, LoraScaling::Standard));
        assert_eq!(saved.adapter, self.numbers.tensors("all.start."));
        let mut learner = self.learner(&saved.lora);
        learner.load(&saved.adapter).unwrap();
        self.logits("PEFT's files, logits", "all.logits", &learner);
    }

    /// The same with every parameter of the model trained, where PyTorch did so too.
    fn every_parameter(&mut self) {
        if let Some(run) = &self.numbers.full {
            let settings = self.numbers.full_training(run);
            let learner = Learner::full(self.base.clone(), &self.numbers.task()).unwrap();
            self.training("full", learner, &settings);
        }
    }

    fn run(&self, name: &str) -> &Run {
        match name {
            "attention" => &self.numbers.attention,
            "all" => &self.numbers.all,
            _ => self.numbers.full.as_ref().unwrap(),
        }
    }

    /// Loss and gradient of one batch, then ten steps of AdamW with warm-up, decay and clipping.
    fn training(&mut self, name: &str, learner: Learner, settings: &TrainingSettings) {
        let gradient = learner.gradient(&self.examples(&learner)).unwrap();
        let loss = error(&[gradient.loss], &[self.run(name).loss]);
        self.row(&format!("{name}.loss"), "", loss);
        self.tensors(name, "gradient", &gradient.matrices);

        let examples = self.examples(&learner);
        let steps = self.numbers.batches.len() as u32;
        let mut trainer = Trainer::new(learner, settings, steps);
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for batch in &self.numbers.batches {
            let batch: Vec<_> = batch.iter().map(|&index| examples[index].clone()).collect();
            let step = trainer.step(&batch).unwrap();
            losses.push(step.loss);
            norms.push(step.gradient_norm);
        }
        let run = self.run(name);
        let errors = [
            ("losses of ten steps", worst_step(&losses, &run.losses)),
            ("gradient norms", worst_step(&norms, &run.norms)),
        ];
        for (what, (step, error)) in errors {
            self.row(&format!("{name}.{what}"), &format!("step {step}"), error);
        }
        self.tensors(name, "trained", &trainer.learner().adapter());
    }

    fn logits(&mut self, quantity: &str, tensor: &str, learner: &Learner) {
        let scores = learner.scores(&self.encoded(learner)).unwrap().concat();
        let Matrix { values, .. } = self.numbers.tensor(tensor);
        self.row(quantity, "", error(&scores, values));
    }

    fn tensors(&mut self, name: &str, what: &str, got: &Adapter) {
        let mut expected = self.numbers.tensors(&format!("{name}.{what}."));
        let mut got = got.clone();
        for adapter in [&mut got, &mut expected] {
            take_key_biases(adapter, what);
        }
        let (worst, error) = largest_error(&got, &expected);
        self.row(&format!("{name}.{what}"), &worst, error);
    }

    fn row(&mut self, quantity: &str, worst: &str, error: f64) {
        self.measured.push(Measured {
            model: self.model.name,
            quantity: quantity.into(),
            worst: worst.into(),
            error,
        });
    }
}

/// Takes out the biases of keys: softmax ignores what they add to every score of a query alike, so
/// their gradients are nothing but rounding, which must be small, and AdamW, which divides by the
/// gradient's size, makes steps of any direction of it.
fn take_key_biases(adapter: &mut Adapter, what: &str) {
    let largest = |matrix: &Matrix| {
        matrix
            .values
            .iter()
            .fold(0.0, |most: f32, v| most.max(v.abs()))
    };
    let all = adapter.matrices.values().map(largest).fold(0.0, f32::max);
    adapter.matrices.retain(|name, matrix| {
        let is_one = name.ends_with("key.bias");
        let is_rounding = what != "gradient" || largest(matrix) < 1e-6 * all;
        assert!(
            !is_one || is_rounding,
            "{name}: {:e} of {all:e}",
            largest(matrix)
        );
        !is_one
    });
}

/// The step with the largest error, each measured by itself, counted from 1.
fn worst_step(got: &[f32], expected: &[f32]) -> (usize, f64) {
    assert_eq!(got.len(), expected.len());
    let errors = got.iter().zip(expected).enumerate();
    let errors = errors.map(|(index, (got, expected))| (index + 1, error(&[*got], &[*expected])));
    errors.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}
