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
fn layers_below_the_adapted_ones_are_computed_once_and_change_nothing() {
    for architecture in Architecture::ALL {
        let mut all = learner_of(architecture, &TARGETS);
        let lora = LoraSettings {
            targets: TARGETS.into(),
            top_layers: Some(1),
            ..testing::lora()
        };
        let top = Learner::new(all.base().clone(), &testing::task(), &lora);
        let Ok(mut top) = top else {
            let error = top.unwrap_err().to_string();
            assert_eq!(architecture, Architecture::Albert, "{error}");
            assert!(error.contains("layers share their weights"), "{error}");
            continue;
        };
        let (few, many) = (top.layout().shapes, all.layout().shapes);
        assert_eq!(2 * few.len(), many.len(), "{architecture:?}");
        // Without B the lower layers of the one are the frozen ones of the other.
        let mut adapter = all.initial_adapter(3);
        for (name, matrix) in &mut adapter.matrices {
            if few.contains_key(name) && name.contains("lora_B") {
                matrix.values.fill(0.02);
            }
        }
        all.load(&adapter).unwrap();
        adapter.matrices.retain(|name, _| few.contains_key(name));
        top.load(&adapter).unwrap();
        let batch = examples(&all, 6, 2);
        let texts: Vec<Encoded> = batch
            .iter()
            .map(|example| example.encoded.clone())
            .collect();
        let (expected, scores) = (all.gradient(&batch).unwrap(), all.scores(&texts).unwrap());
        for part in [&batch[..3], &batch, &batch] {
            let got = top.gradient(part).unwrap();
            if part.len() < batch.len() {
                continue;
            }
            assert_eq!(got.loss, expected.loss);
            for (name, matrix) in &got.matrices.matrices {
                assert_eq!(
                    matrix, &expected.matrices.matrices[name],
                    "{architecture:?} {name}"
                );
            }
            assert_eq!(top.scores(&texts).unwrap(), scores);
        }
    }
}

#[test]
fn more_top_layers_than_there_are_are_refused() {
    for (top, is_fine) in [(0, false), (1, true), (2, true), (3, false)] {
        let base = Files::new(Shape::TINY, 1).load().unwrap();
        let lora = LoraSettings {
            top_layers: Some(top),
            ..testing::lora()
        };
        let made = Learner::new(base, &testing::task(), &lora);
        assert_eq!(made.is_ok(), is_fine, "{top}");
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
