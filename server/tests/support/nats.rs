//! Processes of the server that share a NATS and can be killed.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fl_core::settings::RoomSettings;
use server::{Nats, serve};
use tempfile::TempDir;

use super::nats_server::TestNats;
use super::{Answer, Client, config, http, limits, write_tiny_model};

/// Tells the process of a test that it is to be a server, and its folder.
const FOLDER: &str = "LPFL_TEST_FOLDER";
const NATS: &str = "LPFL_TEST_NATS";
const PATIENCE: Duration = Duration::from_secs(30);

/// A process of its own that serves.
pub struct Process {
    pub address: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Process {
    /// The test binary, once more, as a server.
    pub fn start(nats: &TestNats) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_tiny_model(&folder.path().join("tiny"));
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "nats::a_process", "--ignored", "--nocapture"]);
        command.env(FOLDER, folder.path()).env(NATS, nats.url());
        let log = fs::File::create(folder.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        let address = loop {
            let written = fs::read_to_string(folder.path().join("address"));
            if let Some(address) = written.ok().and_then(|text| text.parse().ok()) {
                break address;
            }
            assert!(child.try_wait().unwrap().is_none(), "the process ended");
            assert!(begun.elapsed() < PATIENCE, "the process did not start");
            sleep(Duration::from_millis(20));
        };
        Self {
            address,
            folder,
            child,
        }
    }

    /// What cannot be told from a power cut.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal that only stops it, or lets it go on.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(sent.unwrap().success());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        http::request(self.address, "GET", path, &[], "").await
    }

    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        http::request(self.address, method, path, headers, body).await
    }

    /// Opens a room; its code and its owner's token.
    pub async fn open_room(&self, settings: &RoomSettings) -> (String, String) {
        super::open_room(self.address, settings).await
    }

    pub async fn join(&self, room: &str, name: &str) -> Client {
        Client::join(self.address, room, name, None).await
    }

    /// A client that comes back, and tries until it is let in.
    pub async fn rejoin(&self, room: &str, name: &str, resume: &str) -> Client {
        let begun = Instant::now();
        loop {
            if let Some(client) = Client::try_join(self.address, room, name, Some(resume)).await {
                return client;
            }
            assert!(begun.elapsed() < PATIENCE, "{name} was not let in");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resolves at SIGTERM.
async fn asked_to_end() {
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::SignalKind::terminate();
        tokio::signal::unix::signal(terminate).unwrap().recv().await;
    }
    #[cfg(not(unix))]
    std::future::pending::<()>().await;
}

/// What [`Process::start`] runs.
pub async fn be_a_process() {
    let (Some(folder), Ok(url)) = (env::var_os(FOLDER), env::var(NATS)) else {
        return;
    };
    let folder = Path::new(&folder);
    let mut config = config(folder, limits());
    config.nats = Some(Nats {
        url,
        credentials: None,
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    fs::write(folder.join("address.unfinished"), address.to_string()).unwrap();
    fs::rename(folder.join("address.unfinished"), folder.join("address")).unwrap();
    serve(listener, asked_to_end(), config).await.unwrap();
}
