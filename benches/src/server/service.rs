//! The service that is measured: one process of `lpfl serve`, or several that meet on NATS.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::process::{Memory, Running};

/// How long NATS may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Processes that end with their owner.
pub struct Service {
    servers: Vec<Server>,
    // Ends after the servers, which would say that it is gone.
    nats: Option<Nats>,
}

impl Service {
    /// One process alone.
    ///
    /// # Errors
    /// When it does not say where it listens.
    pub fn one(program: &Path) -> Result<Self> {
        Ok(Self {
            servers: vec![Server::start(program, None)?],
            nats: None,
        })
    }

    /// So many processes on a NATS server of their own.
    ///
    /// # Errors
    /// When a program does not start.
    pub fn several(program: &Path, nats_server: &Path, processes: u32) -> Result<Self> {
        let nats = Nats::start(nats_server)?;
        let servers = (0..processes).map(|_| Server::start(program, Some(&nats.url)));
        Ok(Self {
            servers: servers.collect::<Result<_>>()?,
            nats: Some(nats),
        })
    }

    /// Addresses of its processes, as `http://HOST:PORT`.
    pub fn urls(&self) -> impl ExactSizeIterator<Item = &str> {
        self.servers.iter().map(|server| server.url.as_str())
    }

    /// Memory of all processes of lpfl together.
    ///
    /// # Errors
    /// Where the system has no /proc.
    pub fn memory(&self) -> Result<Memory> {
        let mut all = Memory { now: 0, peak: 0 };
        for server in &self.servers {
            let memory = server.process.memory()?;
            all.now += memory.now;
            all.peak += memory.peak;
        }
        Ok(all)
    }

    /// Processor seconds of everything but the clients: NATS belongs to it.
    ///
    /// # Errors
    /// Where the system has no /proc.
    pub fn processor_seconds(&self) -> Result<f64> {
        let servers = self.servers.iter().map(|server| &server.process);
        let nats = self.nats.iter().map(|nats| &nats.process);
        servers.chain(nats).map(Running::processor_seconds).sum()
    }
}

/// A process with a data folder of its own.
struct Server {
    process: Running,
    url: String,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(program: &Path, nats: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"))
            // All clients come from one address.
            .args(["--limit", "connections_per_address=10000"])
            .env("LPFL_LOG", "warn");
        if let Some(url) = nats {
            command.args(["--nats", url]);
        }
        let mut process = Running::start(&mut command)?;
        let greeting = process.first_line()?;
        let url = greeting.split(' ').nth(1);
        let url = url
            .with_context(|| format!("no address in {greeting:?}"))?
            .to_owned();
        Ok(Self {
            process,
            url,
            _folder: folder,
        })
    }
}

/// `nats-server` with JetStream on loopback.
struct Nats {
    process: Running,
    url: String,
    _folder: tempfile::TempDir,
}

impl Nats {
    fn start(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // Free a moment ago; another program that takes it is an error below.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(program);
        command
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .arg("--jetstream")
            .arg("--store_dir")
            .arg(folder.path())
            .stderr(Stdio::null());
        let mut process = Running::start(&mut command)?;
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(
                !process.has_ended()? && begun.elapsed() < PATIENCE,
                "{} does not listen on port {port}",
                program.display()
            );
            sleep(Duration::from_millis(20));
        }
        ensure!(
            !process.has_ended()?,
            "port {port} was taken by another program; try again"
        );
        Ok(Self {
            process,
            url: format!("nats://127.0.0.1:{port}"),
            _folder: folder,
        })
    }
}
