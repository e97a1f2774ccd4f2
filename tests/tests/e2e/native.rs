//! A native client: `lpfl join … --json`, its events read from its output.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::programs::{self, Running};
use crate::wait::until;

/// The running client.
pub struct Native {
    process: RefCell<Running>,
    output: PathBuf,
    errors: PathBuf,
}

impl Native {
    /// Joins the room; output goes to the folder.
    pub fn join(url: &str, room: &str, folder: &Path) -> Self {
        let (output, errors) = (folder.join("native.jsonl"), folder.join("native.log"));
        let child = Command::new(programs::lpfl())
            .args(["join", url, "--room", room, "--name", "Native", "--json"])
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        Self {
            process: RefCell::new(Running(child)),
            output,
            errors,
        }
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.output).unwrap();
        // The last line may be half written.
        let lines = text.lines().map(serde_json::from_str);
        lines.filter_map(Result::ok).collect()
    }

    /// The newest event of a type.
    pub fn newest(&self, kind: &str) -> Option<Value> {
        self.events()
            .into_iter()
            .rev()
            .find(|event| event["type"] == kind)
    }

    /// The hash of the adapter that it uses.
    pub fn hash(&self) -> Option<String> {
        let adopted = self.newest("adopted")?;
        adopted["hash"].as_str().map(str::to_owned)
    }

    /// Its number in the room.
    pub fn client(&self) -> Option<u64> {
        self.newest("welcomed")?["client"].as_u64()
    }

    /// Waits until it ends by itself, and that well.
    pub async fn finished(&self) {
        let status = until("the native client's end", async || {
            let status = self.process.borrow_mut().0.try_wait().unwrap();
            status.ok_or_else(|| format!("{:?}", self.events().last()))
        })
        .await;
        let errors = fs::read_to_string(&self.errors).unwrap();
        assert!(
            status.success(),
            "the native client ended with {status}: {errors}"
        );
    }
}
