//! The server: a process that is killed, and started again with the same folder on the same port.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fl_core::protocol::{PhaseView, RoomView, RoundRecord};
use fl_core::settings::RoomSettings;
use serde::Deserialize;

use super::{LOOK, programs};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// How long the end in order may take.
const END: Duration = Duration::from_secs(20);

pub struct Server {
    folder: PathBuf,
    data: PathBuf,
    pub url: String,
    process: Option<Child>,
    agent: ureq::Agent,
}

/// A new room and the key to it.
#[derive(Deserialize)]
pub struct Created {
    pub code: String,
    owner_token: String,
}

/// `GET /api/rooms/{code}`
#[derive(Debug, Deserialize)]
pub struct RoomInfo {
    pub view: RoomView,
    pub history: Vec<RoundRecord>,
}

impl RoomInfo {
    pub fn is_finished(&self) -> bool {
        self.view.phase == PhaseView::Finished
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// Starts it on a free port; its log goes to the folder.
    pub fn start(folder: &Path) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER));
        let mut server = Self {
            folder: folder.to_owned(),
            data: folder.join("data"),
            url: "http://127.0.0.1:0".into(),
            process: None,
            agent: config.build().into(),
        };
        server.url = server.launch();
        server
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Ends it as a power cut of the program would, with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Both fail only where it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it, and does not wait until it listens.
    pub fn begin(&mut self) {
        let child = self.command().stdout(Stdio::null()).spawn().unwrap();
        self.process = Some(child);
    }

    /// Starts it again.
    pub fn restart(&mut self) {
        let url = self.launch();
        assert_eq!(url, self.url);
    }

    /// Ends it in order.
    pub fn end(&mut self) {
        let process = self.process.as_mut().unwrap();
        signal(process, "TERM");
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = process.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < END, "the server does not end");
            sleep(LOOK);
        };
        assert!(status.success(), "the server ended with {status}");
        self.process = None;
    }

    fn command(&self) -> Command {
        let log = self.folder.join("server.log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = programs::lpfl();
        let listen = self.url.strip_prefix("http://").unwrap();
        command
            .args(["serve", "--record", "--listen", listen, "--data-dir"])
            .arg(&self.data)
            // Who is silent in the midst of a frame is told apart within the run.
            .args(["--limit", "silence=10s", "--limit", "heartbeat=2s"])
            .args(["--limit", "failed_hellos_per_room_and_minute=100000"])
            .stderr(log);
        command
    }

    /// Starts it and reads from its first line where it listens.
    fn launch(&mut self) -> String {
        let mut child = self.command().stdout(Stdio::piped()).spawn().unwrap();
        let greeting = child.stdout.take().unwrap();
        self.process = Some(child);
        let mut line = String::new();
        BufReader::new(greeting).read_line(&mut line).unwrap();
        let url = line
            .strip_prefix("Open ")
            .and_then(|rest| rest.split_whitespace().next());
        let log = self.folder.join("server.log");
        let url = url.unwrap_or_else(|| panic!("the server said {line:?}; see {}", log.display()));
        url.trim_end_matches('/').to_owned()
    }

    /// Opens a room.
    pub fn create(&self, settings: &RoomSettings) -> Created {
        let url = format!("{}/api/rooms", self.url);
        let mut sent = self.agent.post(url).send_json(settings).unwrap();
        sent.body_mut().read_json().unwrap()
    }

    /// Lets its rounds begin.
    pub fn begin_rounds(&self, room: &Created) {
        let url = format!("{}/api/rooms/{}/start", self.url, room.code);
        let bearer = format!("Bearer {}", room.owner_token);
        let post = self.agent.post(url).header("authorization", bearer);
        post.send_empty().unwrap();
    }

    /// What the server tells of a room, if it answers.
    pub fn room(&self, code: &str) -> Option<RoomInfo> {
        let url = format!("{}/api/rooms/{code}", self.url);
        let mut answer = self.agent.get(url).call().ok()?;
        answer
            .body_mut()
            .with_config()
            .limit(u64::MAX)
            .read_json()
            .ok()
    }

    /// Looks at a room until it is as wanted.
    pub fn wait_for(
        &self,
        code: &str,
        what: &str,
        patience: Duration,
        mut is_so: impl FnMut(&RoomInfo) -> bool,
    ) {
        let begun = Instant::now();
        loop {
            let info = self.room(code).expect("a running server answers");
            if is_so(&info) {
                return;
            }
            let view = &info.view;
            assert!(
                begun.elapsed() < patience,
                "waited {patience:?} for {what}: {} connected, {} ready of {} needed, {} rounds, {:?}",
                view.connected,
                view.ready,
                view.needed,
                view.completed,
                view.phase
            );
            sleep(LOOK);
        }
    }

    /// Looks at a room for so long, or until it is as wanted.
    pub fn watch(&self, code: &str, longest: Duration, mut is_so: impl FnMut(&RoomInfo) -> bool) {
        let end = Instant::now() + longest;
        while !self.room(code).is_some_and(|info| is_so(&info)) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            sleep(left.min(LOOK));
        }
    }

    /// Bytes of its memory that are resident.
    pub fn resident(&self) -> u64 {
        let id = self.process.as_ref().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        // Where there is no /proc, memory is not watched.
        kilobytes.unwrap_or(0) << 10
    }
}

/// Sends a signal to a process of ours.
pub fn signal(process: &Child, name: &str) {
    let id = process.id().to_string();
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &id])
        .status();
    assert!(sent.unwrap().success(), "SIG{name} could not be sent");
}
