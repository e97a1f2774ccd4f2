//! The server under test: a real process with a folder of its own, asked over HTTP.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fl_core::adapter::AdapterHash;
use fl_core::protocol::{Evaluated, ModelInfo, RoomView, RoundOutcome, RoundRecord};
use fl_core::settings::RoomSettings;
use serde::Deserialize;
use tempfile::TempDir;

use crate::programs::{self, Running};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// The server, running or killed.
pub struct Server {
    data: TempDir,
    log: PathBuf,
    address: String,
    process: RefCell<Option<Running>>,
    agent: ureq::Agent,
}

/// A new room and the key to it.
#[derive(Debug, Deserialize)]
pub struct Created {
    pub code: String,
    pub owner_token: String,
}

/// `GET /api/rooms/{code}`
#[derive(Debug, Deserialize)]
pub struct RoomInfo {
    pub view: RoomView,
    pub model: ModelInfo,
    pub history: Vec<RoundRecord>,
    pub evaluations: Vec<Evaluated>,
}

impl Server {
    /// Starts it on a free port; its log goes to the folder.
    pub fn start(folder: &Path) -> Self {
        let data = TempDir::new().unwrap();
        let log = folder.join("server.log");
        let (process, address) = launch(data.path(), &log, "127.0.0.1:0");
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER))
            .build()
            .into();
        Self {
            data,
            log,
            address,
            process: RefCell::new(Some(process)),
            agent,
        }
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&self) {
        drop(self.process.take());
    }

    /// Starts it again with the same folder on the same port.
    pub fn restart(&self) {
        let (process, address) = launch(self.data.path(), &self.log, &self.address);
        assert_eq!(address, self.address);
        self.process.replace(Some(process));
    }

    /// An address of its page.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Opens a room.
    pub fn create(&self, settings: &RoomSettings) -> Created {
        let sent = self.agent.post(self.url("/api/rooms")).send_json(settings);
        sent.unwrap().body_mut().read_json().unwrap()
    }

    /// What the server tells of a room.
    pub fn room(&self, code: &str) -> RoomInfo {
        let path = self.url(&format!("/api/rooms/{code}"));
        let mut answer = self.agent.get(path).call().unwrap();
        answer.body_mut().read_json().unwrap()
    }

    /// `start`, `pause`, `next` or `finish`, as the room's owner.
    pub fn command(&self, room: &Created, command: &str) {
        let path = self.url(&format!("/api/rooms/{}/{command}", room.code));
        let bearer = format!("Bearer {}", room.owner_token);
        let post = self.agent.post(path).header("authorization", bearer);
        post.send_empty().unwrap();
    }
}

impl RoomInfo {
    /// The completed round of this number.
    pub fn completed(&self, round: u32) -> Option<&RoundRecord> {
        let records = self.history.iter();
        records
            .filter(|record| matches!(record.outcome, RoundOutcome::Completed { .. }))
            .find(|record| record.round == round)
    }

    /// The hash of the newest adapter that a round made.
    pub fn hash(&self) -> Option<AdapterHash> {
        let newest = self.completed(self.view.completed)?;
        match newest.outcome {
            RoundOutcome::Completed { hash } => Some(hash),
            RoundOutcome::Abandoned { .. } => None,
        }
    }
}

/// Starts the program and reads from its first line where it listens.
fn launch(data: &Path, log: &Path, listen: &str) -> (Running, String) {
    let log = File::options().create(true).append(true).open(log).unwrap();
    let mut child = Command::new(programs::lpfl())
        .args(["serve", "--listen", listen, "--data-dir"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let greeting = child.stdout.take().unwrap();
    let process = Running(child);
    let mut line = String::new();
    BufReader::new(greeting).read_line(&mut line).unwrap();
    let address = line
        .strip_prefix("Open http://")
        .and_then(|rest| rest.split_whitespace().next());
    let address = address.unwrap_or_else(|| panic!("the server's first line is {line:?}"));
    (process, address.to_owned())
}
