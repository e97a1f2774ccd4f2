//! The program under test, where its runs leave what they wrote, and what must not stand there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The built `lpfl`.
pub fn lpfl() -> Command {
    let path = env::var_os("LPFL_BIN").map(PathBuf::from);
    let path = path.expect("LPFL_BIN is not set; run `cargo xtask chaos`, which sets it");
    assert!(path.is_file(), "LPFL_BIN names {}, no file", path.display());
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    command
}

/// An empty folder of this name for what a run leaves behind.
pub fn output(name: &str) -> PathBuf {
    // The program lies at <target>/<profile>/deps/chaos-….
    let program = env::current_exe().unwrap();
    let folder = program.ancestors().nth(3).unwrap().join("chaos").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Computes every round again from the updates that were kept: one that had counted twice, or that
/// had been lost, would make another adapter. Gives back how many came to the same.
pub fn replay(data: &Path, rounds: u32) -> usize {
    let output = lpfl()
        .args(["replay", "--json"])
        .arg(data)
        .output()
        .unwrap();
    let (text, errors) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{errors}{text}");
    let same = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["outcome"] == "same";
    let same = text.lines().filter(same).count();
    assert_eq!(
        same, rounds as usize,
        "rounds that replay to the same:\n{text}"
    );
    same
}

/// No server and no client may have panicked, nor may the server have named an error of its own.
pub fn check_logs(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let log = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        let is_bad = |line: &&str| line.contains("panicked at") || line.contains(" ERROR ");
        let bad: Vec<&str> = log.lines().filter(is_bad).take(10).collect();
        assert!(bad.is_empty(), "{}: {bad:#?}", path.display());
    }
}
