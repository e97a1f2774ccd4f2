//! Plain candle and our learner compute the same.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use candle_nn::ParamsAdamW;
use fl_core::settings::{Decay, TrainingSettings};
use fl_core::soft_labels::softmax;
use learner::testing::{Files, Shape, lora, task, toy_texts};
use learner::{Example, Learner, peft};
use plain_candle::{Batch, Settings};

#[test]
fn probabilities_and_losses_of_unequal_lengths_equal_the_learners() {
    let files = Files::new(Shape::TINY, 1);
    let mut ours = Learner::new(files.load().unwrap(), &task(), &lora()).unwrap();
    let mut adapter = ours.initial_adapter(2);
    for matrix in adapter.matrices.values_mut() {
        matrix.values.iter_mut().for_each(|value| *value += 0.02);
    }
    ours.load(&adapter).unwrap();
    let texts = toy_texts(6, 3);
    let encoded: Vec<_> = texts.iter().map(|(text, _)| ours.encode(text)).collect();
    let prompts = encoded.iter().map(|encoded| &encoded.prompts()[0]);
    let batch = prompts
        .zip(&texts)
        .map(|(prompt, (_, label))| (prompt.ids(), prompt.mask(), *label));
    let batch = Batch::new(batch).unwrap();

    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| ours.base().token_ids(word)[0])
            .collect()
    };
    let training = TrainingSettings {
        decay: Decay::Constant,
        warmup: 0.0,
        clip_norm: 0.0,
        ..TrainingSettings::default()
    };
    let settings = Settings {
        scale: lora().scale().into(),
        words: vec![words(&["terrible"]), words(&["great", "good"])],
        optimizer: ParamsAdamW {
            lr: training.learning_rate.into(),
            beta1: training.beta1.into(),
            beta2: training.beta2.into(),
            eps: training.epsilon.into(),
            weight_decay: training.weight_decay.into(),
        },
    };
    let mut plain = plain_candle::Trainer::new(
        &files.config,
        &files.weights,
        &peft::weights(&adapter),
        settings,
    )
    .unwrap();

    let scores = ours.scores(&encoded).unwrap();
    let expected: Vec<f32> = scores.iter().flat_map(|row| softmax(row, 1.0)).collect();
    let got = plain.probabilities(&batch).unwrap();
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-5, "{got} {expected}");
    }

    let examples = encoded.into_iter().zip(&texts);
    let examples: Vec<_> = examples
        .map(|(encoded, (_, label))| Example::gold(encoded, *label, 2))
        .collect();
    let mut trainer = learner::Trainer::new(ours, &training, 100);
    let mut first = 0.0;
    for step in 0..5 {
        let expected = trainer.step(&examples).unwrap().loss;
        let got = plain.step(&batch).unwrap();
        assert!((got - expected).abs() < 1e-5, "{step}: {got} {expected}");
        if step == 0 {
            first = got;
        }
    }
    plain.reset().unwrap();
    assert_eq!(plain.step(&batch).unwrap(), first);
}
