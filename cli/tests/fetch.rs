//! `lpfl model fetch` against a server that behaves as the hub does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::hub::{COMMIT, Hub, NAME, Trouble};
use crate::program::{PARTS, alone, done, failed, lpfl, sharded, whole};

/// A hub and a folder to fetch into.
struct Scene {
    hub: Hub,
    folder: TempDir,
}

impl Scene {
    fn new(files: &BTreeMap<String, Vec<u8>>, trouble: Trouble) -> Self {
        Self {
            hub: Hub::start(files.clone(), trouble),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    fn command(&self, name: &str, more: &[&str]) -> Command {
        let out = self.out();
        let out = out.to_str().unwrap();
        let mut command = lpfl(&["model", "fetch", name, "--out", out]);
        command.args(["--endpoint", &self.hub.endpoint]).args(more);
        command
    }

    fn fetch(&self) -> Output {
        self.command(NAME, &[]).output().unwrap()
    }

    /// The names in the folder, also of files that are hidden.
    fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.out()) else {
            return Vec::new();
        };
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn assert_complete(&self, files: &BTreeMap<String, Vec<u8>>) {
        assert_eq!(self.names(), files.keys().cloned().collect::<Vec<_>>());
        for (name, content) in files {
            assert!(
                fs::read(self.out().join(name)).unwrap() == *content,
                "{name}"
            );
        }
    }
}

fn weights(files: &BTreeMap<String, Vec<u8>>) -> &[u8] {
    &files["model.safetensors"]
}

fn part_name(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!(".model.safetensors.{hash}.part")
}

#[test]
fn a_fetched_model_can_be_used() {
    let mut files = whole();
    files.insert("tokenizer_config.json".into(), b"{}".to_vec());
    let mut listed = files.clone();
    listed.insert("README.md".into(), b"# A model".to_vec());
    listed.insert("pytorch_model.bin".into(), vec![0; 100]);
    let scene = Scene::new(&listed, Trouble::None);
    let output = done(&scene.fetch());
    assert!(
        output.starts_with(&format!("{NAME} at {COMMIT}: ")),
        "{output}"
    );
    scene.assert_complete(&files);
    let info = lpfl(&["model", "info", scene.out().to_str().unwrap()]);
    done(&{ info }.output().unwrap());
}

#[test]
fn what_is_there_is_not_fetched_again() {
    let files = whole();
    let scene = Scene::new(&files, Trouble::None);
    done(&scene.fetch());
    scene.hub.requests();
    done(&scene.fetch());
    let requests = scene.hub.requests();
    assert!(
        !requests.iter().any(|request| request.starts_with("GET")),
        "{requests:?}"
    );
    fs::write(scene.out().join("tokenizer.json"), "spoiled").unwrap();
    done(&scene.fetch());
    let fetched: Vec<String> = scene.hub.requests();
    let fetched = fetched.iter().filter(|request| request.starts_with("GET"));
    assert_eq!(fetched.collect::<Vec<_>>(), ["GET tokenizer.json -"]);
    scene.assert_complete(&files);
}

#[test]
fn shards_are_those_of_the_index() {
    let files = sharded();
    let mut listed = files.clone();
    listed.insert("other.safetensors".into(), vec![1; 50]);
    let scene = Scene::new(&listed, Trouble::None);
    done(&scene.fetch());
    scene.assert_complete(&files);
    listed.remove(PARTS[1]);
    let scene = Scene::new(&listed, Trouble::None);
    failed(
        &scene.fetch(),
        "names model-00002-of-00002.safetensors, which the repository lacks",
    );
    let index = br#"{"weight_map": {"a": "../../evil.safetensors"}}"#;
    listed.insert("model.safetensors.index.json".into(), index.to_vec());
    let scene = Scene::new(&listed, Trouble::None);
    failed(&scene.fetch(), "got \"../../evil.safetensors\"");
    fs::write(scene.out().join("model.safetensors"), "another model").unwrap();
    failed(
        &scene.fetch(),
        "of another model; name another directory with --out",
    );
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let files = whole();
    let scene = Scene::new(&files, Trouble::CutOnce(30_000));
    done(&scene.fetch());
    scene.assert_complete(&files);
    let requests = scene.hub.requests();
    let of_weights = requests
        .iter()
        .filter(|request| request.contains("safetensors"));
    let expected = [
        "GET model.safetensors -",
        "GET model.safetensors bytes=30000-",
    ];
    assert_eq!(of_weights.collect::<Vec<_>>(), expected);
}

#[test]
fn a_later_command_goes_on_where_the_first_gave_up() {
    let files = whole();
    let scene = Scene::new(&files, Trouble::Silent(20_000));
    let silent = scene.command(NAME, &["--silence", "1"]).output().unwrap();
    failed(&silent, "nothing came for 1 seconds; run the command again");
    let part = part_name(weights(&files));
    assert_eq!(scene.names(), [&part, "config.json", "tokenizer.json"]);
    assert_eq!(fs::metadata(scene.out().join(&part)).unwrap().len(), 20_000);
    scene.hub.requests();
    // Breaks again and again, and goes on each time.
    scene.hub.set(Trouble::Cut(15_000));
    done(&scene.fetch());
    scene.assert_complete(&files);
    let requests = scene.hub.requests();
    for from in [20_000, 35_000, 50_000] {
        let expected = format!("GET model.safetensors bytes={from}-");
        assert!(requests.contains(&expected), "{requests:?}");
    }
}

#[test]
fn a_hub_without_ranges_sends_all_again() {
    let files = whole();
    let scene = Scene::new(&files, Trouble::WithoutRanges(30_000));
    done(&scene.fetch());
    scene.assert_complete(&files);
}

#[test]
fn a_busy_hub_is_asked_again() {
    let scene = Scene::new(&whole(), Trouble::Busy);
    done(&scene.fetch());
}

#[test]
fn wrong_content_is_thrown_away() {
    let files = whole();
    let scene = Scene::new(&files, Trouble::Wrong);
    failed(&scene.fetch(), "model.safetensors: expected SHA-256 ");
    assert_eq!(scene.names(), ["config.json", "tokenizer.json"]);
    // A part that was spoiled meanwhile is found out too.
    let part = scene.out().join(part_name(weights(&files)));
    fs::write(&part, vec![9; 1000]).unwrap();
    scene.hub.set(Trouble::None);
    failed(&scene.fetch(), "it was thrown away, run the command again");
    done(&scene.fetch());
    scene.assert_complete(&files);
}

#[test]
fn endless_content_is_cut_at_its_promised_size() {
    let scene = Scene::new(&whole(), Trouble::Endless);
    failed(&scene.fetch(), "bytes, got more; thrown away");
    assert_eq!(scene.names(), ["config.json", "tokenizer.json"]);
}

#[test]
fn endless_redirects_are_left() {
    let scene = Scene::new(&whole(), Trouble::Circle);
    failed(&scene.fetch(), "the hub leads on and on");
}

#[test]
fn unsupported_models_are_refused_before_their_weights() {
    let mut files = whole();
    files.insert("config.json".into(), br#"{"model_type": "gpt2"}"#.to_vec());
    let scene = Scene::new(&files, Trouble::None);
    failed(&scene.fetch(), "gpt2");
    let requests = scene.hub.requests();
    assert!(
        requests
            .iter()
            .all(|request| request.contains("config.json")),
        "{requests:?}"
    );
    assert!(!scene.out().exists());
}

#[test]
fn refusals_of_the_hub_name_the_mend() {
    let scene = Scene::new(&whole(), Trouble::None);
    let fetch = |name: &str, more: &[&str]| scene.command(name, more).output().unwrap();
    failed(
        &fetch("owner/none", &[]),
        "no model owner/none, or a private one; check the name",
    );
    let revision = fetch(NAME, &["--revision", "v9"]);
    failed(
        &revision,
        "has no revision \"v9\"; name another one with --revision",
    );
    failed(&fetch("owner/gated", &[]), "accept them at ");
    let mut gated = scene.command("owner/gated", &[]);
    done(&gated.env("HF_TOKEN", "hf_right").output().unwrap());
    done(&fetch(NAME, &["--revision", "refs/pr/1"]));
    let usage = fetch("../evil", &[]);
    assert_eq!(usage.status.code(), Some(2));
    let nobody = lpfl(&["model", "fetch", NAME, "--endpoint", "http://127.0.0.1:9"]);
    failed(
        &{ nobody }.output().unwrap(),
        "http://127.0.0.1:9 cannot be reached",
    );
    let address = lpfl(&["model", "fetch", NAME, "--endpoint", "hub.example"]);
    failed(&{ address }.output().unwrap(), "is no address of a hub");
}

#[test]
fn mirror_and_folder_have_defaults() {
    let files = whole();
    let scene = Scene::new(&files, Trouble::None);
    let mut command = lpfl(&["model", "fetch", NAME]);
    command.env("HF_ENDPOINT", &scene.hub.endpoint);
    done(&command.current_dir(scene.folder.path()).output().unwrap());
    let fetched = fs::read(scene.folder.path().join("tiny/model.safetensors")).unwrap();
    assert!(fetched == weights(&files));
}

#[test]
fn two_downloads_do_not_write_one_file() {
    let files = whole();
    let scene = Scene::new(&files, Trouble::None);
    fs::create_dir(scene.out()).unwrap();
    let part = fs::File::create(scene.out().join(part_name(weights(&files)))).unwrap();
    part.lock().unwrap();
    failed(&scene.fetch(), "another download is writing it");
    drop(part);
    done(&scene.fetch());
    scene.assert_complete(&files);
}

/// A shell that lets a program write files of so many blocks only, as a full disk does.
#[cfg(unix)]
fn bounded(command: &Command, blocks: u32) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    alone(&mut shell)
        .args(["-c", &script])
        .arg(command.get_program());
    shell.args(command.get_args());
    shell
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_named() {
    let files = whole();
    let scene = Scene::new(&files, Trouble::None);
    let command = scene.command(NAME, &[]);
    let output = bounded(&command, 32).output().unwrap();
    failed(&output, "no space is left for it");
    assert!(!Path::new(&scene.out().join("model.safetensors")).exists());
    done(&scene.fetch());
    scene.assert_complete(&files);
}
