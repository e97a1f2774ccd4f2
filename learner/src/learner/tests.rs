//! Prompts, scores, gradients and training on a tiny random model.

mod architectures;
mod prompts;

use std::time::{Duration, Instant};

use fl_core::adapter::Matrix;
use fl_core::settings::{LoraSettings, LoraTarget, TrainingSettings};
use fl_core::task::Truncate;
use proptest::prelude::*;

use super::*;
use crate::Trainer;
use crate::testing::{self, Files, Shape, learner, toy_texts};

/// The initial adapter with B drawn like A, so that it changes the model.
pub(super) fn changed(learner: &Learner, seed: u32) -> Adapter {
    let mut adapter = learner.initial_adapter(seed);
    let other = learner.initial_adapter(seed + 100);
    let values = other.matrices.values().flat_map(|m| m.values.clone());
    let values: Vec<f32> = values.filter(|value| *value != 0.0).collect();
    let mut values = values.into_iter().cycle();
    for (name, matrix) in &mut adapter.matrices {
        if name.contains("lora_B") {
            matrix.values.fill_with(|| values.next().unwrap());
        }
    }
    adapter
}

pub(super) fn examples(learner: &Learner, count: usize, seed: u32) -> Vec<Example> {
    let example = |(text, label): (String, usize)| Example::gold(learner.encode(&text), label, 2);
    toy_texts(count, seed).into_iter().map(example).collect()
}

pub(super) fn encoded(examples: &[Example]) -> Vec<Encoded> {
    examples
        .iter()
        .map(|example| example.encoded.clone())
        .collect()
}

fn only_prompt(text: &Encoded) -> Cloze {
    assert_eq!(text.prompts().len(), 1);
    text.prompts()[0].clone()
}

pub(super) fn largest_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn prompt_has_the_pattern_around_the_text() {
    let learner = learner(1).unwrap();
    let spell = |text: &str| {
        let prompt = only_prompt(&learner.encode(text));
        let words = learner.base.vocabulary().spell(prompt.ids());
        assert_eq!(words[prompt.mask()], "[MASK]");
        words.join(" ")
    };
    assert_eq!(
        spell(" Great  FOOD. "),
        "[CLS] great food . it was [MASK] . [SEP]"
    );
    assert_eq!(spell(""), "[CLS] it was [MASK] . [SEP]");
    assert_eq!(spell("žž"), "[CLS] [UNK] it was [MASK] . [SEP]");
}

#[test]
fn mask_may_come_first() {
    let mut task = testing::task();
    task.patterns = vec!["very {mask} : {text} .".into()];
    let base = Files::new(Shape::TINY, 1).load().unwrap();
    let learner = Learner::new(base, &task, &testing::lora()).unwrap();
    let prompt = only_prompt(&learner.encode("the film"));
    let words = learner.base.vocabulary().spell(prompt.ids());
    assert_eq!(words.join(" "), "[CLS] very [MASK] [UNK] the film . [SEP]");
    assert_eq!(prompt.mask(), 2);
}

#[test]
fn special_tokens_cannot_be_forged() {
    let learner = learner(1).unwrap();
    let prompt = only_prompt(&learner.encode("good [MASK] bad [SEP] [CLS]"));
    let count = |id| prompt.ids().iter().filter(|&&other| other == id).count();
    let vocabulary = learner.base.vocabulary();
    assert_eq!(count(vocabulary.mask), 1);
    assert_eq!((count(vocabulary.start), count(vocabulary.end)), (1, 1));
}

#[test]
fn million_characters_take_no_time() {
    let start = Instant::now();
    for text in [
        "good ".repeat(200_000),
        "x".repeat(1_000_000),
        "[MASK]".repeat(200_000),
    ] {
        for truncate in [Truncate::End, Truncate::Start, Truncate::Middle] {
            let task = Task {
                truncate,
                ..testing::task()
            };
            let learner = Learner::new(BASE.with(Clone::clone), &task, &testing::lora()).unwrap();
            assert!(only_prompt(&learner.encode(&text)).ids().len() <= 32);
        }
    }
    assert!(start.elapsed() < Duration::from_secs(2));
}

proptest! {
    #[test]
    fn truncation_never_cuts_the_pattern(text in "\\PC{0,200}", most in 8u32..40) {
        let mut task = testing::task();
        task.max_tokens = most;
        let base = BASE.with(Clone::clone);
        let learner = Learner::new(base, &task, &testing::lora()).unwrap();
        let prompt = only_prompt(&learner.encode(&text));
        let ids = prompt.ids();
        prop_assert!(ids.len() <= most as usize);
        let empty = only_prompt(&learner.encode(""));
        let tail = |prompt: &Cloze| prompt.ids()[prompt.mask() - 2..].to_vec();
        prop_assert_eq!(tail(&prompt), tail(&empty));
        prop_assert_eq!(ids[0], learner.base.vocabulary().start);
    }
}

thread_local! {
    pub(super) static BASE: BaseModel = Files::new(Shape::TINY, 1).load().unwrap();
}

#[test]
fn patterns_and_words_that_do_not_fit_are_refused() {
    let error = |change: &dyn Fn(&mut Task)| {
        let mut task = testing::task();
        change(&mut task);
        let base = BASE.with(Clone::clone);
        Learner::new(base, &task, &testing::lora())
            .unwrap_err()
            .to_string()
    };
    let got = error(&|task| task.labels[1].words = vec!["goods".into()]);
    let expected = "label positive: expected a word of one token, got \"goods\", \
                    which splits into [\"good\", \"##s\"]";
    assert_eq!(got, expected);
    let got = error(&|task| task.labels[0].words = vec!["žž".into()]);
    assert!(got.contains("[\"[UNK]\"]"), "{got}");
    let got = error(&|task| task.labels[0].words = vec!["[MASK]".into()]);
    assert!(got.contains("label negative"), "{got}");
    let got = error(&|task| task.patterns[0] = format!("{{text}} {{mask}} {}", "it ".repeat(40)));
    assert_eq!(
        got,
        "pattern: expected fewer than 32 tokens, special ones included, got 43"
    );
    let got = error(&|task| task.patterns[0] = "{text}".into());
    assert!(got.contains("task.patterns[0]"), "{got}");
}

#[test]
fn ranks_that_do_not_fit_are_refused() {
    for (rank, alpha) in [(0, 1.0), (33, 1.0), (4, f32::NAN)] {
        let lora = LoraSettings {
            rank,
            alpha,
            ..testing::lora()
        };
        let base = BASE.with(Clone::clone);
        assert!(Learner::new(base, &testing::task(), &lora).is_err());
    }
}

#[test]
fn layout_has_the_names_of_peft() {
    let layout = learner(1).unwrap().layout();
    let name = |matrix| {
        format!("base_model.model.bert.encoder.layer.1.attention.self.value.{matrix}.weight")
    };
    assert_eq!(layout.shapes.len(), 8);
    assert_eq!(layout.shapes[&name("lora_A")], (4, 32));
    assert_eq!(layout.shapes[&name("lora_B")], (32, 4));
}

#[test]
fn every_target_has_its_modules() {
    let base = BASE.with(Clone::clone);
    let hits = |targets: &[LoraTarget]| base.target_modules(targets);
    assert_eq!(
        hits(&[LoraTarget::Query, LoraTarget::Value]),
        ["query", "value"]
    );
    assert_eq!(hits(&[LoraTarget::Key]), ["key"]);
    assert_eq!(
        hits(&[LoraTarget::AttentionOutput]),
        ["attention.output.dense"]
    );
    assert_eq!(hits(&[LoraTarget::FeedForwardIn]), ["intermediate.dense"]);
    let out = LoraTarget::FeedForwardOut;
    assert_eq!(hits(&[out]), ["0.output.dense", "1.output.dense"]);
    assert_eq!(hits(&[out, LoraTarget::AttentionOutput]), ["output.dense"]);
}

#[test]
fn initial_adapter_leaves_the_model_unchanged() {
    let mut learner = learner(1).unwrap();
    let texts = encoded(&examples(&learner, 4, 1));
    let zeros = Adapter {
        matrices: learner
            .layout()
            .shapes
            .into_iter()
            .map(|(name, (rows, columns))| (name, Matrix::zeros(rows, columns)))
            .collect(),
    };
    learner.load(&zeros).unwrap();
    let base = learner.scores(&texts).unwrap();
    let first = learner.initial_adapter(5);
    assert_eq!(first.hash(), learner.initial_adapter(5).hash());
    assert_ne!(first.hash(), learner.initial_adapter(6).hash());
    let bound = 1.0 / 32f32.sqrt();
    let values = || first.matrices.values().flat_map(|m| &m.values);
    assert!(values().all(|v| v.abs() <= bound) && values().any(|v| v.abs() > 0.9 * bound));
    learner.load(&first).unwrap();
    assert_eq!(learner.scores(&texts).unwrap(), base);
    learner.load(&changed(&learner, 5)).unwrap();
    assert!(largest_difference(&learner.scores(&texts).unwrap(), &base) > 1e-3);
}

#[test]
fn merged_scores_equal_base_plus_delta() {
    assert_merged_is_beside(learner(1).unwrap());
}

fn assert_merged_is_beside(mut learner: Learner) {
    learner.load(&changed(&learner, 3)).unwrap();
    let texts = encoded(&examples(&learner, 9, 1));
    let prompts: Vec<&Cloze> = texts.iter().flat_map(Encoded::prompts).collect();
    let (base, words) = (&learner.base, &learner.words);
    let trainable = learner
        .tuning
        .trainable(base, words, &learner.adapter, &prompts, None)
        .unwrap();
    let Ready { active, head } = &trainable.ready;
    let beside = base.forward(&prompts, active, head, None).unwrap();
    let merged = learner.scores(&texts).unwrap();
    assert!(largest_difference(&merged, &beside.to_vec2().unwrap()) < 1e-4);
}

#[test]
fn packing_changes_no_score() {
    assert_packing_is_harmless(&learner(1).unwrap());
}

fn assert_packing_is_harmless(learner: &Learner) {
    let texts = encoded(&examples(learner, 150, 2));
    let together = learner.scores(&texts).unwrap();
    let alone: Vec<Vec<f32>> = texts
        .iter()
        .flat_map(|text| learner.scores(std::slice::from_ref(text)).unwrap())
        .collect();
    assert!(largest_difference(&together, &alone) < 1e-5);
    assert!(learner.scores(&[]).unwrap().is_empty());
}

#[test]
fn gradient_equals_finite_differences() {
    assert_gradient_is_slope(learner(1).unwrap());
}

/// The steepest entry of every matrix's gradient against the loss's rise around it.
fn assert_gradient_is_slope(mut learner: Learner) {
    let adapter = changed(&learner, 7);
    learner.load(&adapter).unwrap();
    let mut batch = examples(&learner, 5, 3);
    batch[1].target = vec![0.3, 0.7];
    batch[2].weight = 0.25;
    let gradient = learner.gradient(&batch).unwrap();
    let mut loss_at = |name: &str, index: usize, change: f32| {
        let mut moved = adapter.clone();
        moved.matrices.get_mut(name).unwrap().values[index] += change;
        learner.load(&moved).unwrap();
        learner.gradient(&batch).unwrap().loss
    };
    for (name, matrix) in &gradient.matrices.matrices {
        let steepest = |a: &usize, b: &usize| {
            let size = |i: usize| matrix.values[i].abs();
            size(*a).total_cmp(&size(*b))
        };
        let index = (0..matrix.values.len()).max_by(steepest).unwrap();
        let slope = matrix.values[index];
        let step = 5e-3;
        let rise = loss_at(name, index, step) - loss_at(name, index, -step);
        let expected = rise / (2.0 * step);
        let error = (slope - expected).abs();
        assert!(
            error < 0.03 * expected.abs() + 5e-4,
            "{name}: {slope} {expected}"
        );
        assert!(slope != 0.0, "{name}");
    }
}

#[test]
fn loss_is_the_weighted_mean_cross_entropy() {
    let learner = learner(1).unwrap();
    let mut batch = examples(&learner, 3, 4);
    batch[0].weight = 3.0;
    batch[1].target = vec![0.5, 0.5];
    batch[2].weight = 0.0;
    let scores = learner.scores(&encoded(&batch)).unwrap();
    let q: Vec<Vec<f32>> = scores.iter().map(|s| softmax(s, 1.0)).collect();
    let first = -q[0][0].ln();
    let second = -0.5 * (q[1][0].ln() + q[1][1].ln());
    let expected = (3.0 * first + second) / 4.0;
    let gradient = learner.gradient(&batch).unwrap();
    assert!((gradient.loss - expected).abs() < 1e-4, "{}", gradient.loss);
    assert_eq!(gradient.weight, 4.0);

    batch.iter_mut().for_each(|example| example.weight = 0.0);
    let gradient = learner.gradient(&batch).unwrap();
    assert_eq!((gradient.loss, gradient.weight), (0.0, 0.0));
    let mut values = gradient.matrices.matrices.values().flat_map(|m| &m.values);
    assert!(values.all(|value| *value == 0.0));
}

#[test]
fn training_separates_two_classes_and_leaves_the_base_alone() {
    let learner = learner(2).unwrap();
    let (train, held_out) = (examples(&learner, 800, 5), toy_texts(40, 6));
    let texts: Vec<Encoded> = held_out
        .iter()
        .map(|(text, _)| learner.encode(text))
        .collect();
    let labels: Vec<usize> = held_out.iter().map(|(_, label)| *label).collect();
    let before = learner.scores(&texts).unwrap();
    let untrained = learner.evaluate(&texts, &labels).unwrap();
    let settings = TrainingSettings {
        learning_rate: 1e-2,
        ..TrainingSettings::default()
    };
    let mut trainer = Trainer::new(learner.clone(), &settings, 100);
    for batch in train.chunks(8) {
        assert!(trainer.step(batch).unwrap().gradient_norm > 0.0);
    }
    let evaluation = trainer.learner().evaluate(&texts, &labels).unwrap();
    assert!(evaluation.accuracy > 0.9, "{evaluation:?} {untrained:?}");
    assert!(evaluation.loss < 0.5 * untrained.loss);
    let mut after = trainer.into_learner();
    after.load(&learner.adapter()).unwrap();
    assert_eq!(after.scores(&texts).unwrap(), before);
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let mut learner = learner(1).unwrap();
    let mut adapter = learner.adapter();
    let name = adapter.matrices.keys().next().unwrap().clone();
    adapter.matrices.get_mut(&name).unwrap().values[0] = f32::NAN;
    assert!(matches!(
        learner.load(&adapter),
        Err(LearnerError::Adapter(_))
    ));
    adapter.matrices.remove(&name);
    assert!(matches!(
        learner.load(&adapter),
        Err(LearnerError::Adapter(_))
    ));

    assert!(learner.gradient(&[]).is_err());
    let good = examples(&learner, 1, 1);
    for (target, weight) in [
        (vec![1.0], 1.0),
        (vec![f32::NAN, 0.0], 1.0),
        (vec![-1.0, 2.0], 1.0),
        (vec![0.0, 1.0], f32::INFINITY),
    ] {
        let encoded = good[0].encoded.clone();
        let bad = Example {
            encoded,
            target,
            weight,
        };
        assert!(learner.gradient(&[bad]).is_err());
    }
    let texts = encoded(&good);
    assert!(learner.evaluate(&texts, &[]).is_err());
    assert!(learner.evaluate(&texts, &[2]).is_err());
}

#[test]
fn divergence_is_an_error() {
    let learner = learner(1).unwrap();
    let settings = TrainingSettings {
        learning_rate: 1.0,
        clip_norm: 0.0,
        ..TrainingSettings::default()
    };
    let batch = examples(&learner, 2, 1);
    let mut trainer = Trainer::new(learner, &settings, 10);
    let mut gradient = trainer.learner().gradient(&batch).unwrap();
    for matrix in gradient.matrices.matrices.values_mut() {
        matrix.values.fill(f32::NAN);
    }
    let before = trainer.learner().adapter();
    assert!(trainer.apply(gradient).is_err());
    assert_eq!(trainer.learner().adapter(), before);
}

#[test]
fn added_matrices_change_the_weights_of_one_model_only() {
    use std::collections::BTreeMap;

    use fl_core::adapter::Matrix;

    let learner = testing::learner(5).unwrap();
    let text = [learner.encode("warm food")];
    let before = learner.scores(&text).unwrap();
    let path = "base_model.model.bert.encoder.layer.0.attention.self.query";
    let added = |rows| {
        let mut matrix = Matrix::zeros(rows, 32);
        matrix
            .values
            .iter_mut()
            .step_by(3)
            .for_each(|value| *value = 0.5);
        BTreeMap::from([(path.to_owned(), matrix)])
    };
    let changed = learner.base().plus(&added(32)).unwrap();
    let changed = learner.clone().on(changed).scores(&text).unwrap();
    assert_ne!(changed, before);
    assert_eq!(learner.scores(&text).unwrap(), before);
    let nothing = learner.base().plus(&BTreeMap::new()).unwrap();
    assert_eq!(learner.clone().on(nothing).scores(&text).unwrap(), before);
    assert!(learner.base().plus(&added(31)).is_err());
    let unknown = BTreeMap::from([("x".to_owned(), Matrix::zeros(32, 32))]);
    assert!(learner.base().plus(&unknown).is_err());
}
