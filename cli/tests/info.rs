//! `lpfl model info`.

use std::fs;

use crate::program::{PARTS, done, failed, lpfl, sharded, whole, write};

#[test]
fn shards_and_one_file_are_told_alike() {
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str, files| {
        let folder = folder.path().join(name);
        write(&folder, &files);
        let mut command = lpfl(&["model", "info", folder.to_str().unwrap()]);
        done(&command.output().unwrap())
    };
    let one = told("one", whole());
    assert!(one.contains("layers      2\n"), "{one}");
    assert_eq!(one, told("two", sharded()));
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
