//! Jobs in parts come to what they come to in one piece.

use fl_core::settings::{LoraSettings, RoomSettings};
use fl_core::soft_labels::{Growth, SoftSet};
use proptest::prelude::*;

use super::*;
use crate::testing::{self, Files, Shape, toy_texts};
use crate::{ClientTexts, LocalRound, Outcome, Step};

fn moved(mut learner: Learner) -> Learner {
    let mut adapter = learner.initial_adapter(3);
    let values = adapter.matrices.values_mut().flat_map(|m| &mut m.values);
    for (index, value) in values.enumerate() {
        *value += 0.05 * (index as f32).sin();
    }
    learner.load(&adapter).unwrap();
    learner
}

fn lora_learner(dropout: f32) -> Learner {
    let lora = LoraSettings {
        dropout,
        ..testing::lora()
    };
    let base = Files::new(Shape::TINY, 1).load().unwrap();
    moved(Learner::new(base, &testing::task(), &lora).unwrap())
}

fn full_learner() -> Learner {
    Learner::full(Files::new(Shape::TINY, 1).load().unwrap(), &testing::task()).unwrap()
}

fn texts(learner: &Learner, count: usize) -> Vec<Encoded> {
    let text = |(index, (text, _)): (usize, (String, usize))| {
        // Of unlike lengths, as texts are.
        learner.encode(&text.repeat(1 + index % 3))
    };
    let texts = toy_texts(count, 5).into_iter().enumerate();
    texts.map(text).collect()
}

fn batch(texts: &[Encoded], rows: &[(f32, f32)]) -> Job {
    let places = Place::of_all(texts);
    let row = |(text, (&(positive, weight), place)): (usize, (&(f32, f32), Place))| BatchRow {
        text: text as u32,
        target: vec![1.0 - positive, positive],
        weight,
        place,
    };
    Job::Gradient(Batch {
        rows: rows.iter().zip(places).enumerate().map(row).collect(),
        noise: Noise {
            seed: 3,
            index: 5,
            step: 7,
        },
    })
}

/// The job's result by so many workers.
fn shared(learner: &Learner, texts: &[Encoded], job: &Job, workers: usize) -> JobResult {
    let split = job.split(texts, workers);
    let run = |part: &Job| learner.run(texts, part).unwrap();
    let results = split.parts.iter().map(run).collect();
    split.join(results).unwrap()
}

fn values(adapter: &Adapter) -> Vec<f32> {
    let values = adapter.matrices.values().flat_map(|matrix| &matrix.values);
    values.copied().collect()
}

/// ‖a − b‖ / ‖b‖
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
    let apart = norm(&mut a.iter().zip(b).map(|(a, b)| a - b));
    apart / norm(&mut b.iter().copied()).max(f32::MIN_POSITIVE)
}

fn assert_near(one: JobResult, other: JobResult) {
    let (one, other) = (one.into_gradient().unwrap(), other.into_gradient().unwrap());
    let apart = distance(&values(&one.matrices), &values(&other.matrices));
    assert!(apart < 1e-5, "{apart:e}");
    let (scalars, others) = ([one.loss, one.weight], [other.loss, other.weight]);
    assert!(distance(&scalars, &others) < 1e-5, "{scalars:?} {others:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_gradient_in_parts_is_the_whole_s(
        // Gold labels, soft ones, and soft ones without weight.
        rows in prop::collection::vec((0.0f32..=1.0, prop_oneof![Just(1.0f32), 0.0..1.0f32]), 1..9),
        workers in 2usize..12,
        dropout in prop_oneof![Just(0.0f32), Just(0.3)],
    ) {
        prop_assume!(rows.iter().any(|(_, weight)| *weight > 0.01));
        let learner = lora_learner(dropout);
        let texts = texts(&learner, rows.len());
        let job = batch(&texts, &rows);
        let whole = learner.run(&texts, &job).unwrap();
        prop_assert_eq!(&shared(&learner, &texts, &job, 1), &whole);
        assert_near(shared(&learner, &texts, &job, workers), whole);
    }

    #[test]
    fn every_item_is_in_one_part(
        tokens in prop::collection::vec(1usize..100, 0..40),
        workers in 1usize..9,
    ) {
        let groups = balanced(&tokens, workers);
        prop_assert_eq!(groups.len(), workers.min(tokens.len()).max(1));
        prop_assert!(tokens.is_empty() || groups.iter().all(|group| !group.is_empty()));
        prop_assert!(groups.iter().all(|group| group.is_sorted()));
        let sums = groups.iter().map(|group| group.iter().map(|&i| tokens[i]).sum::<usize>());
        let sums: Vec<usize> = sums.collect();
        prop_assert!(sums.is_sorted());
        let longest = tokens.iter().max().copied().unwrap_or(0);
        prop_assert!(sums[sums.len() - 1] - sums[0] <= longest, "{sums:?}");
        let mut all = groups.concat();
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..tokens.len()));
    }
}

#[test]
fn scores_in_parts_are_the_whole_s() {
    let learner = lora_learner(0.0);
    let texts = texts(&learner, 13);
    let job = Job::Scores((0..13).rev().collect());
    let scores = |workers| {
        let result = shared(&learner, &texts, &job, workers);
        result.into_scores().unwrap().concat()
    };
    let whole = scores(1);
    for workers in [2, 3, 20] {
        assert!(distance(&scores(workers), &whole) < 1e-5);
    }
    let none = shared(&learner, &texts, &Job::Scores(Vec::new()), 3);
    assert_eq!(none, JobResult::Scores(Vec::new()));
}

#[test]
fn a_gradient_of_every_parameter_can_be_shared() {
    let learner = full_learner();
    let texts = texts(&learner, 5);
    let job = batch(
        &texts,
        &[(1.0, 1.0), (0.0, 1.0), (0.7, 0.5), (0.2, 0.5), (1.0, 1.0)],
    );
    let whole = learner.run(&texts, &job).unwrap();
    for workers in [2, 3, 9] {
        assert_near(shared(&learner, &texts, &job, workers), whole.clone());
    }
}

#[test]
fn a_batch_without_weight_stays_without_gradient() {
    let learner = lora_learner(0.0);
    let texts = texts(&learner, 3);
    let job = batch(&texts, &[(1.0, 0.0); 3]);
    let gradient = shared(&learner, &texts, &job, 2).into_gradient().unwrap();
    assert_eq!((gradient.loss, gradient.weight), (0.0, 0.0));
    assert!(values(&gradient.matrices).iter().all(|value| *value == 0.0));
}

#[test]
fn what_does_not_belong_to_a_job_is_refused() {
    let learner = lora_learner(0.0);
    let texts = texts(&learner, 3);
    assert!(learner.run(&texts, &Job::Scores(vec![3])).is_err());
    let split = || Job::Scores(vec![0, 1, 2]).split(&texts, 2);
    assert!(split().join(Vec::new()).is_err());
    let scores = || JobResult::Scores(vec![vec![0.0; 2]]);
    assert!(split().join(vec![scores(), scores()]).is_err());
    let job = batch(&texts, &[(1.0, 1.0); 3]);
    assert!(job.split(&texts, 2).join(vec![scores(), scores()]).is_err());
    let other = learner.run(&texts, &job.split(&texts, 2).parts[0]).unwrap();
    let mut strange = other.clone();
    let JobResult::Gradient(gradient) = &mut strange else {
        unreachable!();
    };
    gradient.matrices.matrices.pop_last();
    assert!(job.split(&texts, 2).join(vec![other, strange]).is_err());
}

fn round(workers: usize, dropout: f32) -> Outcome {
    let mut settings = RoomSettings {
        task: testing::task(),
        lora: LoraSettings {
            dropout,
            ..testing::lora()
        },
        ..RoomSettings::default()
    };
    settings.soft_labels.growth = Growth::Fraction { per_round: 0.5 };
    let learner = lora_learner(dropout);
    let mut encoded = texts(&learner, 40).into_iter();
    let client = ClientTexts {
        gold: encoded.by_ref().take(5).zip([0, 1, 0, 1, 1]).collect(),
        unlabelled: encoded.collect(),
    };
    let soft = SoftSet::default();
    let mut round = LocalRound::new(learner, &settings, 2, 0, &client, soft).unwrap();
    loop {
        let job = round.job(workers).unwrap();
        assert_eq!(round.job(workers), Some(job.clone()));
        let result = shared(round.learner().unwrap(), round.texts(), &job, workers);
        if let Step::Finished(outcome) = round.complete(result).unwrap() {
            assert_eq!(round.job(workers), None);
            return outcome;
        }
    }
}

#[test]
fn workers_end_a_round_with_the_adapter_of_one() {
    for dropout in [0.0, 0.2] {
        let alone = round(1, dropout);
        assert!(alone.soft > 0 && alone.steps > 8, "{alone:?}");
        for workers in [2, 3, 8] {
            let together = round(workers, dropout);
            let (one, other) = (values(&together.adapter), values(&alone.adapter));
            let apart = distance(&one, &other);
            // Adam divides by the gradient's size, which lifts rounding errors.
            assert!(
                apart < 1e-4,
                "{workers} workers, dropout {dropout}: {apart:e}"
            );
            assert_eq!(together.steps, alone.steps);
        }
    }
}
