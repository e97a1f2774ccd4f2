//! A NATS server of a test's own, on loopback.

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

/// A NATS server with JetStream.
pub struct TestNats {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl TestNats {
    /// None, with a word on it, where there is no `nats-server`.
    pub fn start() -> Option<Self> {
        Self::start_taking(1 << 20)
    }

    /// One that takes messages of up to so many bytes.
    pub fn start_taking(most: usize) -> Option<Self> {
        let Some(program) = program() else {
            println!("skipped: no nats-server; install it, or set NATS_SERVER to where it is");
            return None;
        };
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut nats = Self {
            program,
            folder: tempfile::tempdir().unwrap(),
            port: free.local_addr().unwrap().port(),
            child: None,
        };
        drop(free);
        fs::write(nats.settings(), format!("max_payload: {most}\n")).unwrap();
        nats.start_again();
        Some(nats)
    }

    /// Starts it again with what it has stored.
    pub fn start_again(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string()]);
        command.arg("--config").arg(self.settings());
        command.arg("--jetstream");
        command.arg("--store_dir").arg(self.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        wait_for(("127.0.0.1", self.port));
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("nats.conf")
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }
}

impl Drop for TestNats {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = env::var_os("NATS_SERVER") {
        return Some(named.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    // Where Debian puts it, which not everybody has on the PATH.
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let name = format!("nats-server{}", env::consts::EXE_SUFFIX);
    folders
        .map(|folder| folder.join(&name))
        .find(|program| program.is_file())
}

fn wait_for(address: impl std::net::ToSocketAddrs + Copy) {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < PATIENCE, "a server did not start");
        sleep(Duration::from_millis(20));
    }
}
