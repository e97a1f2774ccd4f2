//! A client's round shared with helpers, by the messages that go between workers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]
#![cfg(not(target_arch = "wasm32"))]

#[allow(dead_code, reason = "shared with the browser's tests")]
mod numbers;

use std::cell::{Cell, RefCell};
use std::future::{Future, ready};

use client_wasm::crew::helper::{Helper, HelperError, setup};
use client_wasm::crew::wire::{Answer, Ask, values};
use client_wasm::crew::{self, Helpers};
use fl_core::adapter::Adapter;
use fl_core::settings::RoomSettings;
use futures_util::FutureExt as _;
use learner::testing::{Files, Shape};
use learner::{BaseModel, Job, JobResult, LocalClient, Outcome, Step};

use numbers::{corpus, distance, settings};

/// Helpers that answer at once, or not at all from some ask on.
struct Answering {
    helpers: Vec<RefCell<Helper>>,
    asked: Cell<usize>,
    answers: usize,
}

impl Answering {
    fn new(client: &LocalClient, count: usize, answers: usize) -> Self {
        let setup = setup(client.learner(), &client.texts().all()).unwrap();
        let helper = || RefCell::new(Helper::new(base(), &setup).unwrap());
        Self {
            helpers: (0..count).map(|_| helper()).collect(),
            asked: Cell::new(0),
            answers,
        }
    }

    fn answer(&self, part: &Job, adapter: &Adapter) -> Option<JobResult> {
        let number = self.asked.replace(self.asked.get() + 1);
        let ask = Ask {
            number: number as u32,
            adapter: Some(values(adapter)),
            job: part.clone(),
        };
        let helper = &self.helpers[number % self.helpers.len()];
        let answer = helper.borrow_mut().answer(&ask.encode()).unwrap();
        let answer = Answer::decode(&answer.encode(), &adapter.layout()).unwrap();
        match answer {
            Answer::Done(of, result) if number < self.answers => {
                assert_eq!(of, ask.number);
                Some(result)
            }
            _ => None,
        }
    }
}

impl Helpers for Answering {
    fn idle(&self) -> usize {
        self.helpers.len()
    }

    fn ask(&self, part: &Job, adapter: &Adapter) -> impl Future<Output = Option<JobResult>> {
        ready(self.answer(part, adapter))
    }
}

fn base() -> BaseModel {
    Files::new(Shape::TINY, 1).load().unwrap()
}

fn client(settings: &RoomSettings) -> LocalClient {
    LocalClient::new(base(), settings, 0, corpus().as_bytes()).unwrap()
}

fn round(settings: &RoomSettings, helpers: usize, answers: usize) -> (Outcome, usize) {
    let mut client = client(settings);
    let helpers = Answering::new(&client, helpers, answers);
    client.begin(2).unwrap();
    loop {
        let step = crew::step(&mut client, &helpers).now_or_never();
        if let Step::Finished(outcome) = step.unwrap().unwrap() {
            return (outcome, helpers.asked.get());
        }
    }
}

fn assert_near(one: &Outcome, other: &Outcome) {
    let apart = distance(&values(&one.adapter), &values(&other.adapter));
    assert!(apart < 1e-4, "{apart:e}");
    assert_eq!(
        (one.gold, one.soft, one.steps),
        (other.gold, other.soft, other.steps)
    );
}

#[test]
fn helpers_do_not_change_a_round() {
    let mut settings = settings();
    for dropout in [0.0, 0.2] {
        settings.lora.dropout = dropout;
        let (alone, _) = round(&settings, 0, 0);
        for helpers in [1, 2, 7] {
            let (together, asked) = round(&settings, helpers, usize::MAX);
            assert!(asked > alone.steps as usize, "{asked}");
            assert_near(&together, &alone);
        }
    }
}

#[test]
fn calibrated_scores_are_shared_too() {
    let mut settings = settings();
    settings.task.calibration = fl_core::task::Calibration::Unlabelled;
    let (alone, _) = round(&settings, 0, 0);
    let (together, _) = round(&settings, 2, usize::MAX);
    assert_near(&together, &alone);
    assert!((together.confidence - alone.confidence).abs() < 1e-5);
}

#[test]
fn what_helpers_do_not_answer_is_done_by_the_client() {
    let (alone, _) = round(&settings(), 0, 0);
    for answers in [0, 1, 4] {
        let (together, asked) = round(&settings(), 2, answers);
        assert!(asked > answers);
        assert_near(&together, &alone);
    }
}

#[test]
fn a_helper_refuses_what_is_not_its_client_s() {
    let client = client(&settings());
    let setup = setup(client.learner(), &client.texts().all()).unwrap();
    assert!(matches!(
        Helper::new(base(), "{}"),
        Err(HelperError::Setup(_))
    ));
    let other = setup.replace("great", "splendid");
    assert!(matches!(
        Helper::new(base(), &other),
        Err(HelperError::Learner(_))
    ));

    let mut helper = Helper::new(base(), &setup).unwrap();
    let ask = |adapter, job| Ask {
        number: 1,
        adapter,
        job,
    };
    let mut answer = |ask: Ask| helper.answer(&ask.encode());
    let short = ask(Some(vec![0.0]), Job::Scores(vec![0]));
    assert!(matches!(answer(short), Err(HelperError::Wire(_))));
    let mut values = values(client.learner().current());
    values[0] = f32::NAN;
    let infinite = ask(Some(values), Job::Scores(vec![0]));
    assert!(matches!(answer(infinite), Err(HelperError::Learner(_))));
    let far = ask(None, Job::Scores(vec![u32::MAX]));
    assert!(matches!(answer(far), Err(HelperError::Learner(_))));
    assert!(answer(ask(None, Job::Scores(vec![0]))).is_ok());
    assert!(helper.answer(&[]).is_err());
}
