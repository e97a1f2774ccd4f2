//! The comparisons: prompts, logits, loss, gradients, ten steps of training.

use fl_core::adapter::{Adapter, Matrix};
use fl_core::settings::{LoraSettings, LoraTarget};
use learner::{BaseModel, Encoded, Example, Learner, Trainer};

use crate::measure::{error, largest_error};
use crate::{Measured, Model, Numbers, Run};

/// Every projection of a layer.
const ALL: [LoraTarget; 6] = [
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
            assert_eq!(got.ids(), expected, "{}: {text:?}", self.model.name);
        }
        learner
    }

    fn lora(&self, targets: &[LoraTarget]) -> LoraSettings {
        LoraSettings {
            rank: self.numbers.rank,
            alpha: self.numbers.alpha,
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
        let mut learner = self.learner(&self.lora(chosen));
        learner.load(&adapter).unwrap();
        let name = |what: &str| format!("{targets}.{what}");

        self.logits(&name("logits"), &name("logits"), &learner);
        self.logits(&name("merged logits"), &name("merged_logits"), &learner);

        let gradient = learner.gradient(&self.examples(&learner)).unwrap();
        let run = self.run(targets);
        self.row(&name("loss"), "", error(&[gradient.loss], &[run.loss]));
        self.tensors(&name("gradient"), &name("gradient."), &gradient.matrices);

        let trained = self.ten_steps(targets, learner);
        self.tensors(&name("after ten steps"), &name("trained."), &trained);
    }

    fn run(&self, targets: &str) -> &Run {
        match targets {
            "attention" => &self.numbers.attention,
            _ => &self.numbers.all,
        }
    }

    /// Ten steps of AdamW with warm-up, decay and clipping; the adapter after them.
    fn ten_steps(&mut self, targets: &str, learner: Learner) -> Adapter {
        let examples = self.examples(&learner);
        let settings = self.numbers.training(self.run(targets));
        let steps = self.numbers.batches.len() as u32;
        let mut trainer = Trainer::new(learner, &settings, steps);
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for batch in &self.numbers.batches {
            let batch: Vec<_> = batch.iter().map(|&index| examples[index].clone()).collect();
            let step = trainer.step(&batch).unwrap();
            losses.push(step.loss);
            norms.push(step.gradient_norm);
        }
        let run = self.run(targets);
        let errors = [
            ("losses of ten steps", worst_step(&losses, &run.losses)),
            ("gradient norms", worst_step(&norms, &run.norms)),
        ];
        for (what, (step, error)) in errors {
            self.row(&format!("{targets}.{what}"), &format!("step {step}"), error);
        }
        trainer.learner().adapter()
    }

    fn logits(&mut self, quantity: &str, tensor: &str, learner: &Learner) {
        let scores = learner.scores(&self.encoded(learner)).unwrap().concat();
        let Matrix { values, .. } = self.numbers.tensor(tensor);
        self.row(quantity, "", error(&scores, values));
    }

    fn tensors(&mut self, quantity: &str, prefix: &str, got: &Adapter) {
        let (worst, error) = largest_error(got, &self.numbers.tensors(prefix));
        self.row(quantity, &worst, error);
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

/// The step with the largest error, each measured by itself, counted from 1.
fn worst_step(got: &[f32], expected: &[f32]) -> (usize, f64) {
    assert_eq!(got.len(), expected.len());
    let errors = got.iter().zip(expected).enumerate();
    let errors = errors.map(|(index, (got, expected))| (index + 1, error(&[*got], &[*expected])));
    errors.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}
