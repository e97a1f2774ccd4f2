//! Flower at the same work: its own gRPC server and clients, installed by name.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::process::Running;

/// Names the interpreter that makes the virtual environment.
const VARIABLE: &str = "LPFL_PYTHON";
/// Time after which the server listens for sure.
const START: Duration = Duration::from_secs(5);

/// An installation.
pub struct Flower {
    python: PathBuf,
    program: PathBuf,
}

/// What Flower's server prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Served {
    pub version: String,
    pub clients: u32,
    pub parameters: usize,
    pub rounds: u32,
    pub updates_per_s: f64,
}

impl Flower {
    /// Installs what requirements.txt names into a virtual environment, unless it is there.
    ///
    /// # Errors
    /// When Python cannot make one, or pip cannot install.
    pub fn install(scripts: &Path, scratch: &Path) -> Result<Self> {
        let requirements = scripts.join("requirements.txt");
        let wanted = fs::read_to_string(&requirements)
            .with_context(|| format!("{} cannot be read", requirements.display()))?;
        let folder = scratch.join("python");
        let python = folder.join("bin/python");
        // Written last: an environment without it is not complete.
        let stamp = folder.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(Self::of(python, scripts));
        }
        eprintln!("installing Flower into {}", folder.display());
        let system = env::var_os(VARIABLE).unwrap_or_else(|| "python3".into());
        let mend = format!("name a Python with venv by {VARIABLE}, or leave Flower out: --no-peer");
        let mut make = Command::new(system);
        run(make.args(["-m", "venv", "--clear"]).arg(&folder)).context(mend)?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--requirement"]);
        run(pip.arg(&requirements)).context("check the network, or leave Flower out: --no-peer")?;
        fs::write(&stamp, &wanted)?;
        Ok(Self::of(python, scripts))
    }

    fn of(python: PathBuf, scripts: &Path) -> Self {
        let program = scripts.join("flower.py");
        Self { python, program }
    }

    /// Runs its server and, in another process, its clients.
    ///
    /// # Errors
    /// When either fails.
    pub fn measure(&self, clients: u32, parameters: usize, rounds: u32) -> Result<Served> {
        let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let address = free.to_string();
        let (count, parameters) = (clients.to_string(), parameters.to_string());
        let rounds = rounds.to_string();
        let served = self.start(&["server", &address, &count, &parameters, &rounds])?;
        sleep(START);
        let mut joined = self.start(&["clients", &address, &count])?;
        ensure!(!joined.has_ended()?, "Flower's clients ended at once");
        served.answer().context("Flower's server failed")
    }

    fn start(&self, arguments: &[&str]) -> Result<Running> {
        let mut command = Command::new(&self.python);
        command
            .arg(&self.program)
            .args(arguments)
            .env("FLWR_TELEMETRY_ENABLED", "0")
            // It tells much on every connection.
            .stderr(Stdio::null());
        Running::start(&mut command)
    }
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.with_context(|| format!("{} does not start", program.display()))?;
    ensure!(
        status.success(),
        "{} ended with {status}",
        program.display()
    );
    Ok(())
}
