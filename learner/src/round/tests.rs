//! Rounds of one client on a tiny random model.

use fl_core::soft_labels::{Growth, Relabel};

use super::*;
use crate::testing::{self, toy_texts};

fn settings() -> RoomSettings {
    let mut settings = RoomSettings {
        task: testing::task(),
        lora: testing::lora(),
        ..RoomSettings::default()
    };
    settings.training.epochs = 2;
    settings.soft_labels.growth = Growth::Fraction { per_round: 0.25 };
    settings
}

fn texts(learner: &Learner, gold: usize, unlabelled: usize) -> ClientTexts {
    let mut texts = toy_texts(gold + unlabelled, 9)
        .into_iter()
        .map(|(text, label)| (learner.encode(&text), label));
    ClientTexts {
        gold: texts.by_ref().take(gold).collect(),
        unlabelled: texts.map(|(text, _)| text).collect(),
    }
}

fn run(mut round: LocalRound) -> (Vec<Progress>, Outcome, SoftSet) {
    let mut seen = Vec::new();
    loop {
        match round.step().unwrap() {
            Step::Progress(progress) => seen.push(progress),
            Step::Finished(outcome) => {
                assert_eq!(round.step().unwrap(), Step::Finished(outcome.clone()));
                return (seen, outcome, round.into_soft());
            }
        }
    }
}

fn start(settings: &RoomSettings, number: u32, gold: usize, unlabelled: usize) -> LocalRound {
    let learner = testing::learner(1).unwrap();
    let texts = texts(&learner, gold, unlabelled);
    LocalRound::new(learner, settings, number, 0, &texts, SoftSet::default()).unwrap()
}

#[test]
fn first_round_trains_on_gold_alone() {
    let (seen, outcome, soft) = run(start(&settings(), 1, 10, 20));
    assert_eq!((outcome.gold, outcome.soft, outcome.steps), (10, 0, 4));
    assert!(soft.labels().is_empty());
    assert_eq!(outcome.confidence, 0.0);
    assert!(outcome.loss_first > 0.0 && outcome.loss_last > 0.0);
    assert!(
        seen.iter()
            .all(|p| p.stage == Stage::Training && p.total == 4 && p.round == 1)
    );
    let done: Vec<u32> = seen.iter().map(|progress| progress.done).collect();
    assert_eq!(done, [0, 1, 2, 3]);
}

#[test]
fn later_rounds_label_a_growing_share() {
    let (seen, outcome, soft) = run(start(&settings(), 3, 8, 40));
    assert_eq!((outcome.gold, outcome.soft, outcome.steps), (8, 20, 8));
    assert_eq!(soft.labels().len(), 20);
    assert!((0.5..=1.0).contains(&outcome.confidence));
    let labelling: Vec<u32> = seen
        .iter()
        .filter(|progress| progress.stage == Stage::Labelling)
        .map(|progress| progress.done)
        .collect();
    assert_eq!(labelling, [16, 32, 40]);
}

#[test]
fn same_seed_gives_the_same_adapter() {
    let hash = |seed, round| {
        let settings = RoomSettings { seed, ..settings() };
        run(start(&settings, round, 8, 24)).1.adapter.hash()
    };
    assert_eq!(hash(1, 2), hash(1, 2));
    assert_ne!(hash(1, 2), hash(2, 2));
    assert_ne!(hash(1, 2), hash(1, 3));
}

#[test]
fn later_rounds_train_at_the_rate_that_the_decay_leaves() {
    let hash = |learning_rate, round_decay| {
        let mut settings = settings();
        settings.training.learning_rate = learning_rate;
        settings.training.round_decay = Some(round_decay);
        run(start(&settings, 3, 8, 24)).1.adapter.hash()
    };
    assert_eq!(hash(0.01, 0.5), hash(0.0025, 1.0));
    assert_ne!(hash(0.01, 0.5), hash(0.01, 1.0));
}

#[test]
fn soft_labels_are_carried_when_they_are_kept() {
    let mut settings = settings();
    settings.soft_labels.relabel = Relabel::Keep;
    let (_, _, soft) = run(start(&settings, 2, 8, 24));
    let learner = testing::learner(1).unwrap();
    let texts = texts(&learner, 8, 24);
    let round = LocalRound::new(learner, &settings, 3, 0, &texts, soft.clone()).unwrap();
    let (seen, outcome, grown) = run(round);
    assert_eq!((soft.labels().len(), grown.labels().len()), (6, 12));
    assert!(
        soft.labels()
            .iter()
            .all(|(text, label)| grown.labels().get(text) == Some(label))
    );
    assert_eq!(outcome.soft, 12);
    let labelled = seen.iter().find(|p| p.stage == Stage::Labelling).unwrap();
    assert_eq!(labelled.total, 18);
}

#[test]
fn training_starts_from_the_loaded_adapter() {
    let first = run(start(&settings(), 1, 8, 0)).1;
    let mut learner = testing::learner(1).unwrap();
    learner.load(&first.adapter).unwrap();
    let texts = texts(&learner, 8, 0);
    let round = LocalRound::new(learner, &settings(), 2, 0, &texts, SoftSet::default());
    let second = run(round.unwrap()).1;
    assert_ne!(first.adapter, second.adapter);
    assert!(second.loss_first < first.loss_first);
}

#[test]
fn nothing_to_train_on_gives_the_adapter_back() {
    let mut settings = settings();
    settings.soft_labels.growth = Growth::Off;
    let (seen, outcome, _) = run(start(&settings, 4, 0, 12));
    assert!(seen.is_empty());
    assert_eq!((outcome.steps, outcome.loss_first), (0, 0.0));
    let initial = testing::learner(1).unwrap().adapter();
    assert_eq!(outcome.adapter, initial);
}

#[test]
fn soft_labels_alone_are_enough() {
    let (_, outcome, _) = run(start(&settings(), 2, 0, 12));
    assert_eq!((outcome.gold, outcome.soft, outcome.steps), (0, 3, 2));
}

#[test]
fn labels_that_the_task_lacks_are_refused() {
    let learner = testing::learner(1).unwrap();
    let mut texts = texts(&learner, 2, 0);
    texts.gold[1].1 = 2;
    let round = LocalRound::new(learner, &settings(), 1, 0, &texts, SoftSet::default());
    assert!(matches!(round, Err(LearnerError::Argument { .. })));
}

#[test]
fn an_error_ends_the_round() {
    let mut settings = settings();
    settings.training.learning_rate = 1e38;
    settings.training.epochs = 20;
    settings.training.clip_norm = 0.0;
    let mut round = start(&settings, 1, 16, 0);
    let error = (0..60).find_map(|_| round.step().err()).unwrap();
    assert!(matches!(error, LearnerError::Diverged { .. }), "{error}");
    assert!(round.step().is_err());
}
