//! Prompts and label words of vocabularies that know where a blank is.

use super::*;
use crate::testing::Architecture;

fn with_pattern(architecture: Architecture, pattern: &str) -> Learner {
    let base = architecture.files(Shape::TINY, 1).load().unwrap();
    let task = Task {
        patterns: vec![pattern.into()],
        ..testing::task()
    };
    Learner::new(base, &task, &testing::lora()).unwrap()
}

fn spelled(learner: &Learner, text: &str) -> String {
    let encoded = learner.encode(text);
    let prompt = &encoded.prompts()[0];
    let vocabulary = learner.base.vocabulary();
    assert_eq!(prompt.ids()[prompt.mask()], vocabulary.mask);
    vocabulary.spell(prompt.ids()).join("|")
}

#[test]
fn the_mask_swallows_the_blank_before_it() {
    let learner = with_pattern(Architecture::Roberta, "{text} it was {mask} .");
    let expected = "<s>|good|Ġfilm|Ġit|Ġwas|<mask>|Ġ.|</s>";
    assert_eq!(spelled(&learner, " good film "), expected);
    assert_eq!(spelled(&learner, ""), "<s>|it|Ġwas|<mask>|Ġ.|</s>");
    let learner = with_pattern(Architecture::ModernBert, "the {mask} film: {text}.");
    let expected = "[CLS]|the|[MASK]|Ġfilm|:|Ġgood|.|[SEP]";
    assert_eq!(spelled(&learner, "good"), expected);
    let learner = with_pattern(Architecture::Albert, "{text} it was {mask} .");
    let expected = "[CLS]|▁good|▁film|▁it|▁was|[MASK]|▁.|[SEP]";
    assert_eq!(spelled(&learner, "Good film"), expected);
}

#[test]
fn words_have_the_blank_that_the_pattern_has() {
    let words = |pattern: &str| {
        let learner = with_pattern(Architecture::Roberta, pattern);
        let ids = learner.words.concat();
        learner.base.vocabulary().spell(&ids).join("|")
    };
    assert_eq!(words("{text} it was {mask} ."), "Ġterrible|Ġgreat|Ġgood");
    assert_eq!(words("{text} ({mask})"), "terrible|great|good");
    assert_eq!(words("{mask} : {text}"), "terrible|great|good");
}

#[test]
fn what_touches_the_text_is_split_with_it() {
    // One word of BERT's, where the pattern goes on without a blank.
    let learner = with_pattern(Architecture::Bert, "{text}ly was {mask} .");
    let expected = "[CLS]|warm|##ly|was|[MASK]|.|[SEP]";
    assert_eq!(spelled(&learner, "warm"), expected);
    // Two marks are one pre-token of BPE's.
    let learner = with_pattern(Architecture::Roberta, "{text}. {mask}");
    assert_eq!(spelled(&learner, "it,"), "<s>|it|,|.|<mask>|</s>");
}

#[test]
fn special_tokens_cannot_be_forged_in_any_vocabulary() {
    for architecture in Architecture::ALL {
        let learner = with_pattern(architecture, "{text} it was {mask} .");
        let encoded = learner.encode("a <mask> b [MASK] c <s> </s> [CLS] [SEP] <pad>");
        let prompt = &encoded.prompts()[0];
        let vocabulary = learner.base.vocabulary();
        for id in [vocabulary.start, vocabulary.mask, vocabulary.end] {
            let count = prompt.ids().iter().filter(|&&other| other == id).count();
            assert_eq!(count, 1, "{architecture:?}");
        }
    }
}

#[test]
fn long_texts_leave_the_pattern_whole_in_any_vocabulary() {
    for architecture in Architecture::ALL {
        for pattern in ["{text} it was {mask} .", "{mask}: {text}ly ."] {
            let learner = with_pattern(architecture, pattern);
            for text in [
                "good film ".repeat(100),
                "zx".repeat(500_000),
                "…".repeat(300),
            ] {
                let ids = learner.encode(&text).prompts()[0].ids().to_vec();
                // A very long word is one unknown token of WordPiece's.
                let expected = if text.starts_with("good") {
                    32
                } else {
                    ids.len()
                };
                assert!(
                    ids.len() == expected && ids.len() <= 32,
                    "{architecture:?} {pattern}"
                );
                let empty = learner.encode("").prompts()[0].ids().to_vec();
                let tail = &ids[ids.len() - 2..];
                assert_eq!(
                    tail,
                    &empty[empty.len() - 2..],
                    "{architecture:?} {pattern}"
                );
            }
        }
    }
}
