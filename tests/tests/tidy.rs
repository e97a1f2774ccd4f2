//! Mechanical rules of the code, held by a test so that nobody has to remember them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Most lines of a source file; most files have far fewer.
const MOST_LINES: usize = 450;

/// The files of the browser client that may name JavaScript's types.
const JAVASCRIPT_FILES: [&str; 2] = ["client-wasm/src/js.rs", "client-wasm/src/js/workers.rs"];

/// Lock files, which package managers write, with the addresses that they choose.
const LOCK_FILES: [&str; 3] = [
    "Cargo.lock",
    "www/package-lock.json",
    "benches/browser/page/package-lock.json",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// What a program prints when it is run at the root.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("{program} could not be started: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every tracked text file: its path from the root, and its text.
fn tracked_texts() -> Vec<(String, String)> {
    let paths = output("git", &["ls-files", "-z"]);
    paths
        .split_terminator('\0')
        // A tracked file that was just deleted, or that is no text, has no lines to check.
        .filter_map(|path| Some((path.to_owned(), fs::read_to_string(root().join(path)).ok()?)))
        .collect()
}

fn sources(ending: &[&str]) -> Vec<(String, String)> {
    let mut texts = tracked_texts();
    texts.retain(|(path, _)| ending.iter().any(|ending| path.ends_with(ending)));
    assert!(!texts.is_empty(), "no file ends with {ending:?}");
    texts
}

/// Fails with every offence at once, so that one run shows all there is to mend.
fn assert_none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

#[test]
fn core_depends_on_the_allowed_crates_only() {
    let tree = output(
        env!("CARGO"),
        &[
            "tree",
            "--package=fl-core",
            "--edges=normal",
            "--prefix=none",
            // The two that matter: a server, and a browser. Other hosts add crates of their own.
            "--target=x86_64-unknown-linux-gnu",
            "--target=wasm32-unknown-unknown",
        ],
    );
    let found: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !name.is_empty())
        .collect();
    let list = root().join("tests/fl-core-dependencies.txt");
    let text = fs::read_to_string(list).unwrap();
    let allowed: BTreeSet<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();

    let new: Vec<_> = found.difference(&allowed).collect();
    let gone: Vec<_> = allowed.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "fl-core's dependencies differ from tests/fl-core-dependencies.txt: new {new:?}, gone \
         {gone:?}; a new one must bring no I/O, clock, threads or JavaScript"
    );
}

#[test]
fn rust_files_start_with_their_job() {
    let offences: Vec<_> = sources(&[".rs"])
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(path, _)| path)
        .collect();
    assert_none(
        "files that do not start with `//! ` and their job",
        &offences,
    );
}

#[test]
fn functions_are_not_called_get() {
    let getter = concat!("fn g", "et_");
    let offences: Vec<_> = sources(&[".rs"])
        .into_iter()
        .flat_map(|(path, text)| lines_with(&path, &text, |line| line.contains(getter)))
        .collect();
    assert_none("functions named `get_…`; name what they return", &offences);
}

#[test]
fn files_are_short() {
    let offences: Vec<_> = sources(&[".rs", ".ts", ".tsx", ".css", ".py"])
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert_none("files that are too long", &offences);
}

#[test]
fn javascript_types_stay_in_one_module() {
    let types = ["js_sys", "web_sys", "JsValue"];
    let offences: Vec<_> = sources(&[".rs"])
        .into_iter()
        .filter(|(path, _)| path.starts_with("client-wasm/src/"))
        .filter(|(path, _)| !JAVASCRIPT_FILES.contains(&path.as_str()))
        .flat_map(|(path, text)| {
            lines_with(&path, &text, |line| {
                types.iter().any(|name| line.contains(name))
            })
        })
        .collect();
    assert_none("JavaScript's types outside their module", &offences);
}

#[test]
fn files_name_no_registry_host_and_no_local_path() {
    // Written in two parts, so that this file holds none of them.
    let hosts = [
        concat!("registry.npm", "js"),
        concat!("npmjs", ".org"),
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("pypi", ".org"),
        concat!("pythonhosted", ".org"),
    ];
    let folders = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/wo", "rk/"),
        concat!("/Us", "ers/"),
    ];
    let offends = |line: &str| {
        hosts.iter().any(|host| line.contains(host))
            || folders.iter().any(|folder| names_folder(line, folder))
    };
    let offences: Vec<_> = tracked_texts()
        .into_iter()
        .filter(|(path, _)| !LOCK_FILES.contains(&path.as_str()))
        .flat_map(|(path, text)| lines_with(&path, &text, offends))
        .collect();
    assert_none("registry hosts or local paths", &offences);
}

#[test]
fn local_paths_are_told_from_parts_of_others() {
    let folder = concat!("/wo", "rk/");
    assert!(names_folder(&format!("cd {folder}here"), folder));
    assert!(names_folder(&format!("path=\"{folder}here\""), folder));
    assert!(!names_folder(
        &format!("https://a.example{folder}b"),
        folder
    ));
    assert!(!names_folder(&format!("../..{folder}b"), folder));
}

/// Whether the line holds an absolute path into the folder, not a part of a longer path.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && !"._-/}".contains(before))
    })
}

/// `path:line: text` of each line that offends.
fn lines_with(path: &str, text: &str, offends: impl Fn(&str) -> bool) -> Vec<String> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| offends(line))
        .map(|(index, line)| format!("{path}:{}: {}", index + 1, line.trim()))
        .collect()
}
