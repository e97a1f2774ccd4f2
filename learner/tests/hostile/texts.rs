//! Texts of a million characters and adapters of other models.

use std::time::{Duration, Instant};

use fl_core::settings::LoraSettings;
use golden::{MODELS, Model, Numbers};
use learner::Learner;

use crate::memory::largest_allocation;
use crate::model::assert_one_line;

/// Far more than any of these takes in an unoptimised build, far less than it takes to read all.
const PATIENCE: Duration = Duration::from_secs(2);

fn learner(model: &Model) -> Learner {
    let task = Numbers::new(model).task();
    Learner::new(model.load(), &task, &LoraSettings::default()).unwrap()
}

#[test]
fn a_million_characters_make_a_prompt_as_any_other() {
    let million = 1_000_000;
    for model in MODELS {
        let learner = learner(model);
        let most = learner.task().max_tokens as usize;
        for piece in [
            "a",
            "great ",
            " ",
            "\n",
            "\0",
            "这",
            "e\u{301}",
            "[MASK]",
            "!",
            "\u{10fffd}",
        ] {
            let text = piece.repeat(million / piece.chars().count());
            let started = Instant::now();
            let (largest, prompt) = largest_allocation(|| learner.encode(&text));
            assert!(started.elapsed() < PATIENCE, "{}: {piece:?}", model.name);
            assert!(
                largest < 16 << 20,
                "{}: {piece:?}: {largest} bytes",
                model.name
            );
            assert!(
                prompt.prompts()[0].ids().len() <= most,
                "{}: {piece:?}",
                model.name
            );
            assert!(
                learner.scores(&[prompt]).unwrap()[0]
                    .iter()
                    .all(|s| s.is_finite())
            );
        }
    }
}

#[test]
fn an_empty_text_is_a_prompt() {
    for model in MODELS {
        let learner = learner(model);
        for text in ["", " ", "\n\t\u{3000}"] {
            let prompt = learner.encode(text);
            let cloze = &prompt.prompts()[0];
            assert!(cloze.mask() < cloze.ids().len());
            assert!(
                learner.scores(&[prompt]).unwrap()[0]
                    .iter()
                    .all(|s| s.is_finite())
            );
        }
    }
}

#[test]
fn an_adapter_of_another_model_is_refused_by_name() {
    for model in MODELS {
        for other in MODELS {
            let mut learner = learner(model);
            let adapter = self::learner(other).initial_adapter(1);
            match learner.load(&adapter) {
                Ok(()) => assert_eq!(learner.layout(), adapter.layout()),
                Err(error) => {
                    assert_one_line(&error);
                    assert!(error.to_string().contains("lora_"), "{error}");
                }
            }
        }
    }
}
