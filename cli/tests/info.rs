//! `lpfl model info`.

use std::fs;
use std::path::Path;

use learner::testing::Shape;
use serde_json::Value;

use crate::program::{PARTS, done, failed, in_one_file, lpfl, sharded, whole, write};

/// What `lpfl model info` tells of the folder.
fn told(folder: &Path, more: &[&str]) -> String {
    let mut command = lpfl(&["model", "info", folder.to_str().unwrap()]);
    done(&command.args(more).output().unwrap())
}

fn json(folder: &Path, more: &[&str]) -> Value {
    told(folder, &[&["--json"], more].concat()).parse().unwrap()
}

#[test]
fn shards_and_one_file_are_told_alike() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    write(&one, &whole());
    write(&two, &sharded());
    let (one, two) = (json(&one, &[]), json(&two, &[]));
    for field in [
        "architecture",
        "layers",
        "hidden",
        "parameters",
        "mask_token",
        "adapter",
    ] {
        assert_eq!(one[field], two[field], "{field}");
    }
    assert_eq!(one["files"], serde_json::json!(["model.safetensors"]));
    assert_eq!(two["files"], serde_json::json!(PARTS));
    assert_eq!(one["architecture"], "bert");
    assert_eq!(one["stored"]["F32"], one["parameters"]);
}

#[test]
fn adapter_is_that_of_rank_and_targets() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &whole());
    // Two layers of width 32: A (r, 32) and B (32, r) for each projection.
    let told_of = json(folder.path(), &[]);
    assert_eq!(
        told_of["full_update_bytes"].as_u64().unwrap(),
        4 * told_of["parameters"].as_u64().unwrap()
    );
    let adapter = &told_of["adapter"];
    assert_eq!(adapter["parameters"], 2 * 2 * 8 * (32 + 32));
    assert_eq!(adapter["bytes"], 4 * 2 * 2 * 8 * (32 + 32));
    let more = ["--rank", "3", "--targets", "value,feed_forward_in,value"];
    let adapter = &json(folder.path(), &more)["adapter"];
    assert_eq!(adapter["parameters"], 2 * 3 * ((32 + 32) + (32 + 64)));
    let text = told(folder.path(), &more);
    for line in [
        "mask token    [MASK]",
        "LoRA, rank 3: 960 parameters",
        "2 modules, bert.encoder.layer.0.attention.self.value to \
         bert.encoder.layer.1.attention.self.value",
    ] {
        assert!(text.contains(line), "{text}");
    }
    for bad in [["--rank", "0"], ["--targets", "queries"]] {
        let path = folder.path().to_str().unwrap();
        let mut command = lpfl(&["model", "info", path, bad[0], bad[1]]);
        assert_eq!(command.output().unwrap().status.code(), Some(2), "{bad:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn reading_takes_little_more_memory_than_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let [small, large] = ["small", "large"].map(|name| folder.path().join(name));
    write(&small, &whole());
    let shape = Shape {
        layers: 4,
        hidden: 512,
        heads: 8,
        intermediate: 2048,
        positions: 64,
    };
    write(&large, &in_one_file(shape));
    let peak = |info: &Value| info["peak_memory"].as_f64().unwrap();
    let (small, large) = (json(&small, &[]), json(&large, &[]));
    let bytes = large["bytes"].as_f64().unwrap();
    assert!(bytes > 5e7, "{bytes}");
    let share = (peak(&large) - peak(&small)) / bytes;
    assert!((0.8..1.2).contains(&share), "{share}");
}

#[test]
fn what_is_no_model_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let info = |path: &std::path::Path, expected: &str| {
        let mut command = lpfl(&["model", "info", path.to_str().unwrap()]);
        failed(&command.output().unwrap(), expected)
    };
    info(&model, "expected a directory");
    write(&model, &sharded());
    info(&model.join("config.json"), "got a file");
    fs::write(model.join(PARTS[0]), [0; 64]).unwrap();
    info(&model, PARTS[0]);
    fs::remove_file(model.join(PARTS[0])).unwrap();
    info(&model, "model-00001-of-00002.safetensors: expected a file");
    fs::write(model.join("model.safetensors.index.json"), "{").unwrap();
    info(
        &model,
        "model.safetensors.index.json, weight_map: expected tensors",
    );
}
