//! Runs `lpfl` in an environment of its own, and writes models.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use learner::testing::{self, Files, Shape};

/// The names of the weights in two files.
pub const PARTS: [&str; 2] = [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
];

/// The files of a tiny model, by name.
pub fn whole() -> BTreeMap<String, Vec<u8>> {
    in_one_file(Shape::TINY)
}

/// The files of a model of this shape, by name.
pub fn in_one_file(shape: Shape) -> BTreeMap<String, Vec<u8>> {
    let files = Files::new(shape, 21);
    BTreeMap::from([
        ("config.json".into(), files.config),
        ("tokenizer.json".into(), files.tokenizer),
        ("model.safetensors".into(), files.weights),
    ])
}

/// The same model with its weights in two files.
pub fn sharded() -> BTreeMap<String, Vec<u8>> {
    let mut files = whole();
    files.remove("model.safetensors");
    let mut first = testing::weights(Shape::TINY, 21);
    let second = first.split_off(11);
    let mut map = serde_json::Map::new();
    for (name, part) in PARTS.iter().zip([&first, &second]) {
        files.insert((*name).into(), testing::pack(part));
        map.extend(
            part.iter()
                .map(|(tensor, ..)| (tensor.clone(), (*name).into())),
        );
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    let index = index.to_string().into_bytes();
    files.insert("model.safetensors.index.json".into(), index);
    files
}

/// Writes the files into a folder, which is made.
pub fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, content) in files {
        std::fs::write(folder.join(name), content).unwrap();
    }
}

/// `lpfl` with nothing of this machine's settings.
pub fn lpfl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lpfl"));
    alone(&mut command).args(arguments);
    command
}

/// Takes tokens, mirrors and proxies out of a command's environment.
pub fn alone(command: &mut Command) -> &mut Command {
    for name in [
        "HF_TOKEN",
        "HF_ENDPOINT",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ] {
        command.env_remove(name);
    }
    command.env("HF_HOME", "/nonexistent")
}

/// Standard output of a command that did well.
pub fn done(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one line of a command that failed, which contains `expected`.
pub fn failed(output: &Output, expected: &str) -> String {
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.starts_with("lpfl: "), "{errors}");
    assert!(
        errors.contains(expected),
        "expected {expected:?} in {errors}"
    );
    errors
}
