//! The same small work for the native test that writes the golden numbers and the browsers' that
//! compare with them.

use std::collections::BTreeMap;

use fl_core::adapter::Adapter;
use fl_core::partition::Deal;
use fl_core::random::{Purpose, generator};
use fl_core::settings::{Decay, RoomSettings, Texts, TrainingSettings};
use fl_core::soft_labels::{Growth, LabelKind, Relabel, Selection, SoftLabelSettings, softmax};
use learner::testing::{self, Files, Shape};
use learner::{Encoded, Example, Learner, LocalClient, Outcome, Step, Trainer};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

/// What native and browser must agree on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Probabilities of the labels of eight texts.
    pub soft_labels: Vec<Vec<f32>>,
    /// Loss of one batch of four.
    pub loss: f32,
    /// L2 norm of its gradient before clipping.
    pub gradient_norm: f32,
    /// The adapter's matrices after one step on it.
    pub after_one_step: BTreeMap<String, Vec<f32>>,
    /// The adapter's matrices after a whole second round of a client, soft labels and all.
    pub after_a_round: BTreeMap<String, Vec<f32>>,
    /// Loss of that round's last epoch.
    pub round_loss: f32,
    /// Mean confidence of its soft labels.
    pub round_confidence: f32,
}

/// Settings of a room with the tiny model. What the numbers depend on is spelt out, so that another
/// default does not change them.
pub fn settings() -> RoomSettings {
    RoomSettings {
        task: testing::task(),
        lora: testing::lora(),
        texts: Texts::Corpus {
            corpus: "toy".into(),
            deal: Deal {
                gold: 8,
                unlabelled: 24,
                ..Deal::default()
            },
        },
        training: TrainingSettings {
            learning_rate: 1e-3,
            round_decay: None,
            epochs: 2,
            batch_size: 8,
            weight_decay: 0.01,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            warmup: 0.1,
            decay: Decay::Linear,
            clip_norm: 1.0,
            proximal: 0.0,
        },
        soft_labels: SoftLabelSettings {
            growth: Growth::Fraction { per_round: 0.5 },
            selection: Selection::ClassBalanced,
            kind: LabelKind::Soft,
            relabel: Relabel::EachRound,
            temperature: 1.0,
            weight: 0.5,
            noise: 0.0,
        },
        seed: 0,
        ..RoomSettings::default()
    }
}

/// A corpus of the tiny model's words.
pub fn corpus() -> String {
    let mut content = "text,label\n".to_owned();
    for (text, label) in testing::toy_texts(64, 7) {
        let label = ["negative", "positive"][label];
        content.push_str(&format!("{text},{label}\n"));
    }
    content
}

/// Does the work.
pub fn compute() -> Numbers {
    let base = Files::new(Shape::TINY, 1).load().unwrap();
    let mut learner = Learner::new(base.clone(), &testing::task(), &testing::lora()).unwrap();
    let adapter = moved(learner.initial_adapter(3));
    learner.load(&adapter).unwrap();

    let texts = testing::toy_texts(8, 5);
    let encoded: Vec<Encoded> = texts.iter().map(|(text, _)| learner.encode(text)).collect();
    let scores = learner.scores(&encoded).unwrap();

    let batch: Vec<Example> = (0..4)
        .map(|i| Example::gold(encoded[i].clone(), texts[i].1, 2))
        .collect();
    let mut training = settings().training;
    training.warmup = 0.0;
    let mut trainer = Trainer::new(learner, &training, 4);
    let step = trainer.step(&batch).unwrap();

    let mut client = LocalClient::new(base, &settings(), 0, corpus().as_bytes()).unwrap();
    client.adopt(&adapter).unwrap();
    client.begin(2).unwrap();
    let outcome = finish(&mut client);

    Numbers {
        soft_labels: scores.iter().map(|scores| softmax(scores, 1.0)).collect(),
        loss: step.loss,
        gradient_norm: step.gradient_norm,
        after_one_step: values(trainer.learner().adapter()),
        after_a_round: values(outcome.adapter),
        round_loss: outcome.loss_last,
        round_confidence: outcome.confidence,
    }
}

/// Works until the round's end.
fn finish(client: &mut LocalClient) -> Outcome {
    loop {
        if let Step::Finished(outcome) = client.step().unwrap() {
            return outcome;
        }
    }
}

/// An adapter in the middle of training: with B zero, A would have no gradient.
fn moved(mut adapter: Adapter) -> Adapter {
    let mut rng = generator(9, Purpose::Initialisation, 1);
    for matrix in adapter.matrices.values_mut() {
        for value in &mut matrix.values {
            *value += 0.1 * (rng.random::<f32>() - 0.5);
        }
    }
    adapter
}

fn values(adapter: Adapter) -> BTreeMap<String, Vec<f32>> {
    let values = |(name, matrix): (String, fl_core::adapter::Matrix)| (name, matrix.values);
    adapter.matrices.into_iter().map(values).collect()
}

/// ‖a − b‖ / ‖b‖ over all values.
pub fn distance<'a>(
    a: impl IntoIterator<Item = &'a f32>,
    b: impl IntoIterator<Item = &'a f32>,
) -> f64 {
    let (a, b): (Vec<&f32>, Vec<&f32>) = (a.into_iter().collect(), b.into_iter().collect());
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let pairs = a.iter().zip(&b);
    let apart: f64 = pairs
        .map(|(a, b)| square(f64::from(**a) - f64::from(**b)))
        .sum();
    let size: f64 = b.iter().map(|b| square(f64::from(**b))).sum();
    (apart / size).sqrt()
}
