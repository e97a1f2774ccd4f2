//! Rank-stabilised scale, dropout, and training of every parameter, on a tiny random model.

use candle_core::Tensor;
use fl_core::settings::{LoraScaling, RoomSettings, TrainingSettings};
use fl_core::soft_labels::SoftSet;

use super::*;
use crate::dropout::{Dropout, Masking, Noise};
use crate::ops::{FrozenLinear, LoraLinear};
use crate::testing::{self, Files, NamedTensor, Shape, lora, pack, task, toy_texts};
use crate::{ClientTexts, Encoded, Example, Learner, LocalRound, Step, Trainer};

const NOISE: Noise = Noise {
    seed: 5,
    index: 7,
    step: 2,
};

fn base() -> BaseModel {
    Files::new(Shape::TINY, 1).load().unwrap()
}

fn lora_learner(settings: LoraSettings) -> Learner {
    let mut learner = Learner::new(base(), &task(), &settings).unwrap();
    let mut adapter = learner.initial_adapter(3);
    for (index, value) in adapter
        .matrices
        .values_mut()
        .flat_map(|m| &mut m.values)
        .enumerate()
    {
        *value += 0.05 * (index as f32).sin();
    }
    learner.load(&adapter).unwrap();
    learner
}

fn full_learner() -> Learner {
    Learner::full(base(), &task()).unwrap()
}

fn examples(learner: &Learner, count: usize, seed: u32) -> Vec<Example> {
    let example = |(text, label): (String, usize)| Example::gold(learner.encode(&text), label, 2);
    toy_texts(count, seed).into_iter().map(example).collect()
}

fn texts(learner: &Learner) -> Vec<Encoded> {
    let examples = examples(learner, 6, 2).into_iter();
    examples.map(|example| example.encoded).collect()
}

/// Compares the steepest slope of every matrix with the rise of the loss.
fn assert_slopes(learner: &Learner, gradient: impl Fn(&Learner) -> crate::Gradient, step: f32) {
    let adapter = learner.adapter();
    for (name, matrix) in &gradient(learner).matrices.matrices {
        let size = |index: &usize| matrix.values[*index].abs();
        let steepest = |a: &usize, b: &usize| size(a).total_cmp(&size(b));
        let index = (0..matrix.values.len()).max_by(steepest).unwrap();
        let slope = matrix.values[index];
        let loss_at = |change: f32| {
            let mut moved = (learner.clone(), adapter.clone());
            moved.1.matrices.get_mut(name).unwrap().values[index] += change;
            moved.0.load(&moved.1).unwrap();
            gradient(&moved.0).loss
        };
        let expected = (loss_at(step) - loss_at(-step)) / (2.0 * step);
        let error = (slope - expected).abs();
        assert!(
            error < 0.03 * expected.abs() + 1e-3,
            "{name}: {slope} {expected}"
        );
        assert!(slope != 0.0, "{name}");
    }
}

#[test]
fn rank_stabilised_scale_is_alpha_by_the_root() {
    let settings = |scaling, alpha| LoraSettings {
        scaling,
        alpha,
        ..lora()
    };
    let stabilised = lora_learner(settings(LoraScaling::RankStabilised, 4.0));
    let standard = lora_learner(settings(LoraScaling::Standard, 8.0));
    let texts = texts(&standard);
    assert_eq!(
        stabilised.scores(&texts).unwrap(),
        standard.scores(&texts).unwrap()
    );
    let other = lora_learner(settings(LoraScaling::Standard, 4.0));
    assert_ne!(
        other.scores(&texts).unwrap(),
        standard.scores(&texts).unwrap()
    );
}

#[test]
fn dropout_is_seeded_and_off_at_zero() {
    let none = lora_learner(lora());
    let batch = examples(&none, 5, 1);
    let plain = none.gradient(&batch).unwrap();
    assert_eq!(none.training_gradient(&batch, NOISE).unwrap(), plain);

    let some = lora_learner(LoraSettings {
        dropout: 0.4,
        ..lora()
    });
    assert_eq!(some.gradient(&batch).unwrap(), plain);
    let texts = texts(&some);
    assert_eq!(some.scores(&texts).unwrap(), none.scores(&texts).unwrap());
    let noisy = some.training_gradient(&batch, NOISE).unwrap();
    assert_ne!(noisy, plain);
    assert_eq!(noisy, some.training_gradient(&batch, NOISE).unwrap());
    let other = Noise { step: 3, ..NOISE };
    assert_ne!(noisy, some.training_gradient(&batch, other).unwrap());
}

#[test]
fn gradient_under_a_mask_equals_finite_differences() {
    let learner = lora_learner(LoraSettings {
        dropout: 0.3,
        ..lora()
    });
    let batch = examples(&learner, 5, 3);
    assert_slopes(
        &learner,
        |l| l.training_gradient(&batch, NOISE).unwrap(),
        5e-3,
    );
}

#[test]
fn mean_over_many_masks_is_the_value_without() {
    let tensor = |rows: usize, columns: usize, seed: f32| {
        let values = (0..rows * columns).map(|i| (i as f32 * 0.7 + seed).sin());
        let values: Vec<f32> = values.collect();
        Tensor::from_vec(values, (rows, columns), &candle_core::Device::Cpu).unwrap()
    };
    let (x, a, b) = (tensor(3, 12, 0.0), tensor(2, 12, 1.0), tensor(5, 2, 2.0));
    let weight: Vec<f32> = tensor(5, 12, 3.0).flatten_all().unwrap().to_vec1().unwrap();
    let frozen = FrozenLinear::new(&weight, [5, 12], vec![0.1; 5]);
    let value = |mask| LoraLinear::forward(&frozen, 0.5, mask, [&x, &a, &b]).unwrap();
    let dropout = Dropout::new(0.25, Masking::of_rows(NOISE, 3));
    let count = 4000;
    let mut sum = value(None).zeros_like().unwrap();
    for _ in 0..count {
        sum = (sum + value(Some(dropout.mask(3, 12).unwrap()))).unwrap();
    }
    let mean = (sum / f64::from(count)).unwrap();
    let apart = (mean - value(None))
        .unwrap()
        .abs()
        .unwrap()
        .max_all()
        .unwrap();
    assert!(apart.to_scalar::<f32>().unwrap() < 0.05, "{apart}");
}

#[test]
fn rounds_with_dropout_repeat() {
    let mut settings = RoomSettings {
        task: task(),
        lora: LoraSettings {
            dropout: 0.2,
            ..lora()
        },
        ..RoomSettings::default()
    };
    let run = |settings: &RoomSettings, number| {
        let learner = Learner::new(base(), &task(), &settings.lora).unwrap();
        finish(learner, settings, number)
    };
    let first = run(&settings, 1);
    assert_eq!(run(&settings, 1), first);
    assert_ne!(run(&settings, 2), first);
    settings.lora.dropout = 0.0;
    assert_ne!(run(&settings, 1), first);
}

fn finish(learner: Learner, settings: &RoomSettings, number: u32) -> Adapter {
    let texts = ClientTexts {
        gold: toy_texts(8, 4)
            .into_iter()
            .map(|(text, label)| (learner.encode(&text), label))
            .collect(),
        unlabelled: Vec::new(),
    };
    let soft = SoftSet::default();
    let mut round = LocalRound::new(learner, settings, number, 0, &texts, soft).unwrap();
    loop {
        if let Step::Finished(outcome) = round.step().unwrap() {
            assert!(outcome.loss_last < outcome.loss_first, "{outcome:?}");
            return outcome.adapter;
        }
    }
}

#[test]
fn full_training_starts_as_the_base_model() {
    let full = full_learner();
    let texts = texts(&full);
    let mut beside = Learner::new(base(), &task(), &lora()).unwrap();
    beside.load(&beside.initial_adapter(0)).unwrap();
    assert_eq!(full.scores(&texts).unwrap(), beside.scores(&texts).unwrap());
    let layout = full.layout();
    assert_eq!(layout.parameters() as u64, full.base().parameters());
    assert_eq!(full.initial_adapter(1), full.adapter());
    let shape = |name: &str| layout.shapes[name];
    let words = testing::vocabulary().len();
    assert_eq!(shape("bert.embeddings.word_embeddings.weight"), (words, 32));
    assert_eq!(shape("bert.encoder.layer.1.output.dense.bias"), (1, 32));
    assert_eq!(shape("cls.predictions.bias"), (1, words));
    assert!(!layout.shapes.contains_key("cls.predictions.decoder.weight"));
}

#[test]
fn full_gradient_equals_finite_differences() {
    let mut tensors: Vec<NamedTensor> = testing::weights(Shape::TINY, 1);
    let files = Files::new(Shape::TINY, 1);
    let untied = tensors[0].2.iter().rev().copied().collect();
    let (name, shape) = ("cls.predictions.decoder.weight", tensors[0].1.clone());
    tensors.push((name.into(), shape, untied));
    let untied = BaseModel::from_bytes(&files.config, &files.tokenizer, &pack(&tensors));
    for base in [files.load().unwrap(), untied.unwrap()] {
        let learner = Learner::full(base, &task()).unwrap();
        let batch = examples(&learner, 4, 3);
        assert_slopes(&learner, |l| l.gradient(&batch).unwrap(), 2e-3);
    }
}

#[test]
fn rows_that_a_batch_does_not_ask_for_have_no_slope() {
    let learner = full_learner();
    let batch = examples(&learner, 2, 3);
    let gradient = learner.gradient(&batch).unwrap().matrices;
    let has_slope = |name: &str, row: usize, width: usize| {
        let values = &gradient.matrices[name].values;
        values[row * width..][..width].iter().any(|v| *v != 0.0)
    };
    let words = learner.base().vocabulary();
    let id = |word: &str| words.split(word)[0] as usize;
    let embeddings = "bert.embeddings.word_embeddings.weight";
    // “was” is read in the pattern, “great” is a label word only, “not” is neither.
    assert!(has_slope(embeddings, id("was"), 32));
    assert!(has_slope(embeddings, id("great"), 32));
    assert!(!has_slope(embeddings, id("not"), 32));
    assert!(has_slope("cls.predictions.bias", id("great"), 1));
    assert!(!has_slope("cls.predictions.bias", id("was"), 1));
    let types = "bert.embeddings.token_type_embeddings.weight";
    assert!(has_slope(types, 0, 32) && !has_slope(types, 1, 32));
}

#[test]
fn ten_full_steps_lower_the_loss_and_leave_the_base_alone() {
    let learner = full_learner();
    let texts = texts(&learner);
    let before = learner.scores(&texts).unwrap();
    let batch = examples(&learner, 8, 3);
    let settings = TrainingSettings {
        learning_rate: 1e-3,
        ..TrainingSettings::default()
    };
    let mut trainer = Trainer::new(learner.clone(), &settings, 10);
    let losses: Vec<f32> = (0..10)
        .map(|_| trainer.step(&batch).unwrap().loss)
        .collect();
    let trained = trainer.learner();
    let after = trained.gradient(&batch).unwrap().loss;
    assert!(after < 0.8 * losses[0], "{losses:?} {after}");
    assert_ne!(trained.scores(&texts).unwrap(), before);
    let mut back = trained.clone();
    back.load(&learner.initial_adapter(0)).unwrap();
    assert_eq!(back.scores(&texts).unwrap(), before);
}

#[test]
fn local_round_trains_every_parameter() {
    let mut settings = RoomSettings {
        task: task(),
        ..RoomSettings::default()
    };
    settings.training.learning_rate = 5e-4;
    let learner = full_learner();
    let first = learner.adapter();
    let trained = finish(learner.clone(), &settings, 1);
    assert_eq!(trained.layout(), first.layout());
    for (name, matrix) in &trained.matrices {
        assert_ne!(matrix, &first.matrices[name], "{name}");
    }
    assert_eq!(finish(learner, &settings, 1), trained);
}

#[test]
fn tunings_that_do_not_fit_are_refused() {
    for spoil in [
        |l: &mut LoraSettings| l.dropout = 1.0,
        |l: &mut LoraSettings| l.dropout = f32::NAN,
        |l: &mut LoraSettings| l.rank = 0,
        |l: &mut LoraSettings| l.alpha = f32::INFINITY,
    ] {
        let mut settings = lora();
        spoil(&mut settings);
        assert!(Learner::new(base(), &task(), &settings).is_err());
    }
    let mut learner = full_learner();
    let lora = Learner::new(base(), &task(), &lora()).unwrap();
    assert!(learner.load(&lora.adapter()).is_err());
}
