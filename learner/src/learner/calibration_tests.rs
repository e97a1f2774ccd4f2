//! Several patterns, two texts and calibrated scores on a tiny random model.

use fl_core::task::Truncate;
use proptest::prelude::*;

use super::tests::{BASE, changed, encoded, examples, largest_difference};
use super::*;
use crate::testing::{self, toy_texts};

const PATTERNS: [&str; 3] = [
    "{text} it was {mask} .",
    "very {mask} : {text}",
    "{text} the food was {mask}",
];

fn asked(change: impl FnOnce(&mut Task)) -> Learner {
    let mut task = testing::task();
    change(&mut task);
    Learner::new(BASE.with(Clone::clone), &task, &testing::lora()).unwrap()
}

fn with_patterns(patterns: &[&str]) -> Learner {
    let mut learner = asked(|task| task.patterns = patterns.iter().map(|&p| p.into()).collect());
    learner.load(&changed(&learner, 3)).unwrap();
    learner
}

fn mean(rows: &[Vec<Vec<f32>>]) -> Vec<Vec<f32>> {
    let texts = 0..rows[0].len();
    let label = |text: usize, label: usize| {
        let sum: f32 = rows.iter().map(|rows| rows[text][label]).sum();
        sum / rows.len() as f32
    };
    texts
        .map(|text| vec![label(text, 0), label(text, 1)])
        .collect()
}

#[test]
fn scores_of_several_patterns_are_their_mean() {
    let texts = toy_texts(70, 3);
    let scores = |learner: Learner| {
        let texts: Vec<Encoded> = texts.iter().map(|(text, _)| learner.encode(text)).collect();
        learner.scores(&texts).unwrap()
    };
    let alone = PATTERNS.map(|pattern| scores(with_patterns(&[pattern])));
    let together = scores(with_patterns(&PATTERNS));
    assert!(largest_difference(&together, &mean(&alone)) < 1e-5);
    assert!(largest_difference(&together, &alone[0]) > 1e-3);
}

#[test]
fn gradient_of_patterns_and_offsets_equals_finite_differences() {
    let mut learner = with_patterns(&PATTERNS);
    learner.calibrate(vec![0.7, -0.4]).unwrap();
    let adapter = learner.adapter();
    let batch = examples(&learner, 5, 3);
    let gradient = learner.gradient(&batch).unwrap();
    let by_scores = learner
        .evaluate(&encoded(&batch), &[0, 1, 0, 1, 0])
        .unwrap();
    assert!((gradient.loss - by_scores.loss).abs() < 1e-4);
    for (name, matrix) in &gradient.matrices.matrices {
        let size = |index: &usize| matrix.values[*index].abs();
        let steepest = (0..matrix.values.len()).max_by(|a, b| size(a).total_cmp(&size(b)));
        let index = steepest.unwrap();
        let step = 5e-3;
        let mut loss_at = |change: f32| {
            let mut moved = adapter.clone();
            moved.matrices.get_mut(name).unwrap().values[index] += change;
            learner.load(&moved).unwrap();
            learner.gradient(&batch).unwrap().loss
        };
        let expected = (loss_at(step) - loss_at(-step)) / (2.0 * step);
        let slope = matrix.values[index];
        let error = (slope - expected).abs();
        assert!(
            error < 0.03 * expected.abs() + 5e-4,
            "{name}: {slope} {expected}"
        );
    }
}

#[test]
fn unlabelled_calibration_puts_half_on_each_side() {
    let mut learner = asked(|task| task.calibration = Calibration::Unlabelled);
    let texts = encoded(&examples(&learner, 60, 4));
    let before = learner.scores(&texts).unwrap();
    learner.calibrate(learner.prior(&texts).unwrap()).unwrap();
    let after = learner.scores(&texts).unwrap();
    let positive = |scores: &[Vec<f32>]| scores.iter().filter(|s| s[1] > s[0]).count();
    assert_ne!(positive(&before), 30);
    assert!(positive(&after).abs_diff(30) <= 1, "{}", positive(&after));
    // The prior is the model's own: offsets that are set already do not change it.
    assert_eq!(learner.prior(&texts).unwrap(), learner.offsets);
    // Another adapter keeps the offsets.
    let offsets = learner.offsets.clone();
    learner.load(&changed(&learner, 8)).unwrap();
    assert_eq!(learner.offsets, offsets);
}

#[test]
fn content_free_calibration_levels_prompts_without_content() {
    let mut learner = asked(|task| task.calibration = Calibration::ContentFree);
    let prior = learner.prior(&[]).unwrap();
    assert_eq!(prior.len(), 2);
    learner.calibrate(prior).unwrap();
    let scores = learner
        .scores(&CONTENT_FREE.map(|text| learner.encode(text)))
        .unwrap();
    for label in 0..2 {
        let sum: f32 = scores.iter().map(|scores| scores[label]).sum();
        assert!(sum.abs() < 1e-5);
    }
}

#[test]
fn without_calibration_nothing_is_subtracted() {
    let mut learner = asked(|_| {});
    let texts = encoded(&examples(&learner, 4, 4));
    let before = learner.scores(&texts).unwrap();
    let prior = learner.prior(&texts).unwrap();
    assert!(prior.is_empty());
    learner.calibrate(prior).unwrap();
    assert_eq!(learner.scores(&texts).unwrap(), before);
}

#[test]
fn offsets_that_do_not_fit_are_refused() {
    let mut learner = asked(|_| {});
    for bad in [vec![1.0], vec![0.0; 3], vec![f32::NAN, 0.0]] {
        assert!(learner.calibrate(bad).is_err());
    }
}

#[test]
fn two_texts_share_the_prompt() {
    let learner = asked(|task| {
        task.text_columns.push("other".into());
        task.patterns = vec!["{text} ? {mask} , {text_2} .".into()];
        task.max_tokens = 16;
    });
    let spell = |text: &str, second: &str| {
        let row = Row {
            line: 1,
            text: text.into(),
            second: Some(second.into()),
            label: None,
        };
        let encoded = learner.encode_row(&row);
        learner
            .base
            .vocabulary()
            .spell(encoded.prompts()[0].ids())
            .join(" ")
    };
    assert_eq!(
        spell("warm food", "cold room"),
        "[CLS] warm food [UNK] [MASK] , cold room . [SEP]"
    );
    let long = "film ".repeat(30);
    let cut = spell(&long, "cold room");
    assert_eq!(cut.matches("film").count(), 8);
    assert!(cut.ends_with(", cold room . [SEP]"), "{cut}");
    assert_eq!(spell("warm food", &long).matches("film").count(), 8);
    assert_eq!(spell(&long, &long).matches("film").count(), 10);
    let single = learner.encode("warm");
    let words = learner.base.vocabulary().spell(single.prompts()[0].ids());
    assert_eq!(words.join(" "), "[CLS] warm [UNK] [MASK] , . [SEP]");
}

proptest! {
    #[test]
    fn truncation_keeps_what_it_says(words in 1usize..4000, room in 1usize..60) {
        // Numbered by letters, so that each word tells its place; the long ones are read in part.
        let letter = |place: usize| char::from(b'b' + (place % 24) as u8).to_string();
        let text: Vec<String> = (0..words).map(letter).collect();
        let most = room + 5;
        let kept = |truncate| {
            let learner = asked(|task| {
                task.truncate = truncate;
                task.max_tokens = most.max(8) as u32;
            });
            let text = learner.encode(&text.join(" "));
            let spelled = learner.base.vocabulary().spell(text.prompts()[0].ids());
            spelled[1..spelled.len() - 5].to_vec()
        };
        let room = most.clamp(8, 64) - 6;
        let count = words.min(room);
        prop_assert_eq!(kept(Truncate::End), &text[..count]);
        prop_assert_eq!(kept(Truncate::Start), &text[words - count..]);
        let (tail, middle) = (count / 2, kept(Truncate::Middle));
        if words <= room {
            prop_assert_eq!(middle, text);
        } else {
            prop_assert_eq!(&middle[..count - tail], &text[..count - tail]);
            prop_assert_eq!(&middle[count - tail..], &text[words - tail..]);
        }
    }

    #[test]
    fn no_text_makes_a_prompt_fail(
        text in ".{0,300}", second in ".{0,300}", which in 0usize..3, most in 12u32..64,
    ) {
        let learner = asked(|task| {
            task.text_columns.push("other".into());
            task.patterns = vec!["{text} {mask} {text_2} .".into(), "{text_2}{mask}{text}".into()];
            task.truncate = [Truncate::End, Truncate::Start, Truncate::Middle][which];
            task.max_tokens = most;
        });
        let row = Row { line: 1, text, second: Some(second), label: None };
        let encoded = learner.encode_row(&row);
        let mask = learner.base.vocabulary().mask;
        for prompt in encoded.prompts() {
            prop_assert!(prompt.ids().len() <= most as usize);
            prop_assert_eq!(prompt.ids()[prompt.mask()], mask);
            prop_assert_eq!(prompt.ids().iter().filter(|&&id| id == mask).count(), 1);
        }
    }
}
