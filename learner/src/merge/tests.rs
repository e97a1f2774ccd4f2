//! Merged weights on a tiny random model.

use fl_core::adapter::Adapter;
use fl_core::settings::{LoraScaling, LoraSettings, LoraTarget};

use super::*;
use crate::Learner;
use crate::peft;
use crate::testing::{Files, NamedTensor, Shape, pack, task, toy_texts, weights};

fn settings() -> LoraSettings {
    LoraSettings {
        rank: 3,
        scaling: LoraScaling::RankStabilised,
        targets: vec![LoraTarget::Query, LoraTarget::FeedForwardOut],
        ..LoraSettings::default()
    }
}

fn tuned(base: &BaseModel, size: f32) -> (Learner, PeftAdapter) {
    let mut learner = Learner::new(base.clone(), &task(), &settings()).unwrap();
    let mut adapter: Adapter = learner.initial_adapter(1);
    for (index, value) in adapter
        .matrices
        .values_mut()
        .flat_map(|m| &mut m.values)
        .enumerate()
    {
        *value = size * (index as f32).sin();
    }
    learner.load(&adapter).unwrap();
    let config = peft::config(base, &settings(), "tiny");
    let read = peft::read(base, &config, &peft::weights(&adapter)).unwrap();
    (learner, read)
}

fn bytes(merge: &Merge<'_>) -> Vec<u8> {
    let pieces = merge.pieces().map(Result::unwrap);
    let bytes: Vec<u8> = pieces.flatten().collect();
    assert_eq!(bytes.len() as u64, merge.size());
    bytes
}

fn scores(learner: &Learner) -> Vec<Vec<f32>> {
    let texts = toy_texts(6, 2).into_iter();
    let texts: Vec<_> = texts.map(|(text, _)| learner.encode(&text)).collect();
    learner.scores(&texts).unwrap()
}

fn largest_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    let pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn load(files: &Files, weights: &[u8]) -> Learner {
    let base = BaseModel::from_bytes(&files.config, &files.tokenizer, weights).unwrap();
    Learner::new(base, &task(), &settings()).unwrap()
}

#[test]
fn merged_model_scores_as_base_and_adapter() {
    let files = Files::new(Shape::TINY, 1);
    let base = files.load().unwrap();
    let (learner, adapter) = tuned(&base, 0.1);
    let plain = Learner::new(base.clone(), &task(), &settings()).unwrap();
    assert!(largest_difference(&scores(&learner), &scores(&plain)) > 0.1);

    let merge = Merge::new(&base, &[&files.weights], &adapter, Precision::F32).unwrap();
    let whole = bytes(&merge);
    assert_eq!(scores(&load(&files, &whole)), scores(&learner));

    let merge = Merge::new(&base, &[&files.weights], &adapter, Precision::F16).unwrap();
    let half = bytes(&merge);
    assert!(half.len() < whole.len() / 2 + 4096);
    assert!(largest_difference(&scores(&load(&files, &half)), &scores(&learner)) < 0.1);
}

#[test]
fn other_tensors_stay_byte_for_byte() {
    let mut files = Files::new(Shape::TINY, 1);
    let base = files.load().unwrap();
    let (_, adapter) = tuned(&base, 0.1);
    let merge = Merge::new(&base, &[&files.weights], &adapter, Precision::F32).unwrap();
    let merged = bytes(&merge);
    let [before, after] = [&files.weights, &merged].map(|b| SafeTensors::deserialize(b).unwrap());
    assert_eq!(before.len(), after.len());
    let mut changed = 0;
    for (name, view) in before.iter() {
        let other = after.tensor(name).unwrap();
        assert_eq!(view.shape(), other.shape());
        let adapted = name.ends_with("query.weight")
            || name.ends_with("output.dense.weight") && !name.contains("attention");
        assert_eq!(view.data() != other.data(), adapted, "{name}");
        changed += usize::from(adapted);
    }
    assert_eq!(changed, 4);
    let (_, metadata) = SafeTensors::read_metadata(&merged).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");

    // Numbers that are no weights stay in any precision.
    let ids: Vec<u8> = (0..8i64).flat_map(i64::to_le_bytes).collect();
    let view = TensorView::new(Dtype::I64, vec![1, 8], &ids).unwrap();
    let file = SafeTensors::deserialize(&files.weights).unwrap();
    let views = file.iter().chain([("bert.embeddings.position_ids", view)]);
    files.weights = safetensors::serialize(views, None).unwrap();
    let merge = Merge::new(&base, &[&files.weights], &adapter, Precision::F16).unwrap();
    let merged = bytes(&merge);
    let merged = SafeTensors::deserialize(&merged).unwrap();
    assert_eq!(
        merged
            .tensor("bert.embeddings.position_ids")
            .unwrap()
            .data(),
        ids
    );
}

#[test]
fn shards_and_bare_names_are_merged_too() {
    let files = Files::new(Shape::TINY, 1);
    let base = files.load().unwrap();
    let (learner, adapter) = tuned(&base, 0.1);
    let tensors = weights(Shape::TINY, 1).into_iter();
    let bare = |(name, shape, values): NamedTensor| {
        let name = name.strip_prefix("bert.").unwrap_or(&name).to_owned();
        (name, shape, values)
    };
    let tensors: Vec<NamedTensor> = tensors.map(bare).collect();
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let shards = [pack(first), pack(second)];
    let files_of_weights = [&shards[0][..], &shards[1]];
    let merge = Merge::new(&base, &files_of_weights, &adapter, Precision::F32).unwrap();
    assert_eq!(scores(&load(&files, &bytes(&merge))), scores(&learner));

    let error = |files: &[&[u8]]| {
        let merge = Merge::new(&base, files, &adapter, Precision::F32);
        merge.unwrap_err().to_string()
    };
    let lacking = error(&[&shards[0]]);
    assert!(lacking.contains("expected shape"), "{lacking}");
    let twice = error(&[&shards[0], &shards[0]]);
    assert!(twice.contains("is in two shards"), "{twice}");
    assert!(error(&[b"no tensors"]).contains("model.safetensors cannot be read"));
}

#[test]
fn values_too_large_for_half_precision_are_refused() {
    let files = Files::new(Shape::TINY, 1);
    let base = files.load().unwrap();
    let (_, adapter) = tuned(&base, 1e3);
    let merge = Merge::new(&base, &[&files.weights], &adapter, Precision::F16).unwrap();
    let error = merge.pieces().find_map(Result::err).unwrap().to_string();
    assert!(error.contains("expected finite values, got"), "{error}");
}
