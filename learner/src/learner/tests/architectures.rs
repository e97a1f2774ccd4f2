//! What holds for a learner on a model of any architecture, with LoRA on any target.

use fl_core::settings::LoraTarget;

use super::*;
use crate::testing::Architecture;

const TARGETS: [LoraTarget; 6] = [
    LoraTarget::Query,
    LoraTarget::Key,
    LoraTarget::Value,
    LoraTarget::AttentionOutput,
    LoraTarget::FeedForwardIn,
    LoraTarget::FeedForwardOut,
];

fn learner_of(architecture: Architecture, targets: &[LoraTarget]) -> Learner {
    let base = architecture.files(Shape::TINY, 1).load().unwrap();
    let lora = LoraSettings {
        targets: targets.into(),
        ..testing::lora()
    };
    Learner::new(base, &testing::task(), &lora).unwrap()
}

#[test]
fn scores_are_finite_and_texts_make_a_difference() {
    for architecture in Architecture::ALL {
        let learner = learner_of(architecture, &TARGETS);
        let texts = ["", "the food was cold", "great , very fast film"];
        let texts = texts.map(|text| learner.encode(text));
        let scores = learner.scores(&texts).unwrap();
        assert!(scores.iter().flatten().all(|score| score.is_finite()));
        let apart = (scores[1][0] - scores[2][0]).abs();
        assert!(apart > 1e-3, "{architecture:?}: {scores:?}");
    }
}

#[test]
fn gradients_of_all_targets_equal_finite_differences() {
    for architecture in Architecture::ALL {
        let learner = learner_of(architecture, &TARGETS);
        println!(
            "{architecture:?}: {} matrices",
            learner.layout().shapes.len()
        );
        assert_gradient_is_slope(learner);
    }
}

#[test]
fn each_target_alone_has_its_gradient() {
    for architecture in Architecture::ALL {
        for target in TARGETS {
            assert_gradient_is_slope(learner_of(architecture, &[target]));
        }
    }
}

#[test]
fn merging_and_packing_change_no_score() {
    for architecture in Architecture::ALL {
        assert_merged_is_beside(learner_of(architecture, &TARGETS));
        assert_packing_is_harmless(&learner_of(architecture, &TARGETS));
    }
}

#[test]
fn modules_have_the_names_of_peft() {
    let modules = |architecture, target| {
        let base = learner_of(architecture, &[target]).base().clone();
        (
            base.info().lora[&target].modules.clone(),
            base.target_modules(&[target]),
        )
    };
    let strings = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
    let expect = |architecture, target, paths: &[&str], ends: &[&str]| {
        let expected = (strings(paths), strings(ends));
        assert_eq!(modules(architecture, target), expected, "{architecture:?}");
    };
    let layers = |layer: &str, part: &str| {
        let path = |index| format!("{layer}.{index}.{part}");
        [path(0), path(1)]
    };
    let [first, second] = layers("roberta.encoder.layer", "attention.self.key");
    expect(
        Architecture::Roberta,
        LoraTarget::Key,
        &[&first, &second],
        &["key"],
    );
    let [first, second] = layers("distilbert.transformer.layer", "attention.out_lin");
    let output = LoraTarget::AttentionOutput;
    expect(
        Architecture::DistilBert,
        output,
        &[&first, &second],
        &["out_lin"],
    );
    let [first, second] = layers("electra.encoder.layer", "output.dense");
    let ends = ["0.output.dense", "1.output.dense"];
    let out = LoraTarget::FeedForwardOut;
    expect(Architecture::Electra, out, &[&first, &second], &ends);
    let shared = "albert.encoder.albert_layer_groups.0.albert_layers.0";
    let attention = format!("{shared}.attention.dense");
    expect(
        Architecture::Albert,
        output,
        &[&attention],
        &["attention.dense"],
    );
    expect(
        Architecture::Albert,
        out,
        &[&format!("{shared}.ffn_output")],
        &["ffn_output"],
    );
    let inside = LoraTarget::FeedForwardIn;
    expect(
        Architecture::Albert,
        inside,
        &[&format!("{shared}.ffn")],
        &["ffn"],
    );
    let [first, second] = layers("model.layers", "attn.Wqkv");
    for target in [LoraTarget::Query, LoraTarget::Key, LoraTarget::Value] {
        expect(
            Architecture::ModernBert,
            target,
            &[&first, &second],
            &["Wqkv"],
        );
    }
    let [first, second] = layers("model.layers", "mlp.Wo");
    expect(
        Architecture::ModernBert,
        out,
        &[&first, &second],
        &["mlp.Wo"],
    );
}

#[test]
fn info_tells_sizes_and_what_lora_adds() {
    let info = |architecture: Architecture| {
        let base = architecture.files(Shape::TINY, 1).load().unwrap();
        base.info()
    };
    let roberta = info(Architecture::Roberta);
    assert_eq!(
        (roberta.architecture, roberta.tokenizer),
        ("roberta", "BPE")
    );
    assert_eq!((roberta.max_tokens, &*roberta.mask_token), (62, "<mask>"));
    let albert = info(Architecture::Albert);
    assert_eq!((albert.tokenizer, albert.embedding), ("Unigram", 16));
    // Both layers share one module.
    assert_eq!(albert.lora[&LoraTarget::Query].parameters_per_rank, 64);
    assert_eq!(
        albert.lora[&LoraTarget::FeedForwardIn].parameters_per_rank,
        96
    );
    let modern = info(Architecture::ModernBert);
    assert_eq!(
        modern.lora[&LoraTarget::Value].parameters_per_rank,
        2 * (96 + 32)
    );
    assert_eq!(
        modern.lora[&LoraTarget::FeedForwardIn].parameters_per_rank,
        2 * (128 + 32)
    );
    assert_eq!(modern.stored.keys().collect::<Vec<_>>(), ["F32"]);
    let json = serde_json::to_value(&modern).unwrap();
    assert!(json["lora"]["feed_forward_out"]["modules"].is_array());
}
