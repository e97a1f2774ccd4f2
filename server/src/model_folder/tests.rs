//! Model directories that are right, and ones that are not.

use std::fs;
use std::path::Path;

use learner::testing::{self, Files, Shape};
use tempfile::TempDir;

use super::{CONFIG, INDEX, IndexError, ModelFolder, TOKENIZER, WEIGHTS, shards};

const PARTS: [&str; 2] = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
];

/// A folder with a model in one file.
fn whole() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::new(Shape::TINY, 5);
    fs::write(folder.path().join(CONFIG), files.config).unwrap();
    fs::write(folder.path().join(TOKENIZER), files.tokenizer).unwrap();
    fs::write(folder.path().join(WEIGHTS), files.weights).unwrap();
    folder
}

/// The same model in two files.
fn sharded() -> TempDir {
    let folder = whole();
    fs::remove_file(folder.path().join(WEIGHTS)).unwrap();
    let mut first = testing::weights(Shape::TINY, 5);
    let second = first.split_off(9);
    let mut map = serde_json::Map::new();
    for (name, part) in PARTS.iter().zip([&first, &second]) {
        fs::write(folder.path().join(name), testing::pack(part)).unwrap();
        map.extend(
            part.iter()
                .map(|(tensor, ..)| (tensor.clone(), (*name).into())),
        );
    }
    let index = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map});
    fs::write(folder.path().join(INDEX), index.to_string()).unwrap();
    folder
}

fn refused(folder: &Path, expected: &str) {
    let error = ModelFolder::open(folder).and_then(|folder| folder.load());
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains(expected),
        "expected {expected:?} in {error:?}"
    );
    assert!(!error.contains('\n'), "{error:?}");
}

#[test]
fn one_file_and_shards_give_the_same_model() {
    let (whole, sharded) = (whole(), sharded());
    let one = ModelFolder::open(whole.path()).unwrap();
    let many = ModelFolder::open(sharded.path()).unwrap();
    assert_eq!(
        one.files().collect::<Vec<_>>(),
        [CONFIG, TOKENIZER, WEIGHTS]
    );
    let expected = [CONFIG, TOKENIZER, PARTS[0], PARTS[1]];
    assert_eq!(many.files().collect::<Vec<_>>(), expected);
    let parameters = one.load().unwrap().parameters();
    assert_eq!(many.load().unwrap().parameters(), parameters);
    assert!(one.bytes() > 4 * parameters && many.bytes() > 4 * parameters);
}

#[test]
fn missing_and_empty_files_are_named_with_the_mend() {
    let folder = whole();
    let path = folder.path();
    refused(&path.join("none"), "got No such file");
    refused(&path.join(CONFIG), "expected a directory");
    refused(&path.join(CONFIG), "got a file");
    fs::rename(path.join(WEIGHTS), path.join("pytorch_model.bin")).unwrap();
    refused(path, "model.safetensors: expected a file, got No such file");
    refused(path, "safe_serialization=True");
    fs::create_dir(path.join(WEIGHTS)).unwrap();
    refused(path, "model.safetensors: expected a file, got a directory");
    fs::write(path.join(TOKENIZER), "").unwrap();
    refused(path, "tokenizer.json: expected at least 1 bytes, got 0");
    fs::rename(path.join(TOKENIZER), path.join("vocab.txt")).unwrap();
    refused(path, "use_fast=True");
    fs::remove_file(path.join(CONFIG)).unwrap();
    refused(path, "config.json: expected a file");
}

#[test]
fn files_that_hold_something_else_are_named() {
    let folder = sharded();
    let path = folder.path();
    fs::write(path.join(PARTS[1]), "<!doctype html>").unwrap();
    refused(path, PARTS[1]);
    fs::remove_file(path.join(PARTS[1])).unwrap();
    refused(path, "model-00002-of-00002.safetensors: expected a file");
    fs::write(path.join(INDEX), "[]").unwrap();
    refused(
        path,
        "model.safetensors.index.json, weight_map: expected tensors",
    );
    fs::write(path.join(CONFIG), r#"{"model_type": "gpt2"}"#).unwrap();
    fs::rename(path.join(PARTS[0]), path.join(WEIGHTS)).unwrap();
    refused(path, "gpt2");
}

#[test]
fn index_names_files_of_its_own_directory_only() {
    let index = |name: &str| serde_json::json!({"weight_map": {"a": name}}).to_string();
    for bad in [
        "../x.safetensors",
        "/etc/x.safetensors",
        "a/b.safetensors",
        "..\\x.safetensors",
        ".x.safetensors",
        "x.bin",
        "x\0.safetensors",
        "",
    ] {
        let error = shards(index(bad).as_bytes()).unwrap_err();
        assert_eq!(error, IndexError::Name(bad.into()));
    }
    let folder = sharded();
    fs::write(folder.path().join(INDEX), index("../x.safetensors")).unwrap();
    refused(folder.path(), "got \"../x.safetensors\"");
    assert_eq!(shards(br#"{"weight_map": {}}"#), Err(IndexError::Empty));
    let many: serde_json::Map<_, _> = (0..1001)
        .map(|number| (number.to_string(), format!("{number}.safetensors").into()))
        .collect();
    let many = serde_json::json!({"weight_map": many}).to_string();
    assert_eq!(shards(many.as_bytes()), Err(IndexError::Many(1001)));
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_loops_are_not() {
    use std::os::unix::fs::symlink;
    let (folder, other) = (whole(), whole());
    let path = folder.path();
    fs::remove_file(path.join(WEIGHTS)).unwrap();
    // A cache of downloads keeps its files elsewhere.
    symlink(other.path().join(WEIGHTS), path.join(WEIGHTS)).unwrap();
    ModelFolder::open(path).unwrap().load().unwrap();
    fs::remove_file(path.join(TOKENIZER)).unwrap();
    symlink(TOKENIZER, path.join(TOKENIZER)).unwrap();
    refused(path, "tokenizer.json: expected a file, got Too many levels");
    let ring = path.join("ring");
    symlink(&ring, &ring).unwrap();
    refused(&ring, "got Too many levels");
}
