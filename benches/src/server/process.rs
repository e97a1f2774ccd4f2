//! The programs that are measured, and what the system says of their memory and time.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A process that ends with its owner.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing can be done about a process that does not end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts a program whose output is read.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("{} does not start", program.display()))?;
        Ok(Self(child))
    }

    /// The first line that it prints; the rest is not read.
    ///
    /// # Errors
    /// When it ends before.
    pub fn first_line(&mut self) -> Result<String> {
        let output = self.0.stdout.take().context("its output is read already")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "the program ended before it said anything"
        );
        Ok(line)
    }

    /// Waits for its end; the last line of what it printed, read as JSON.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub fn answer<T: DeserializeOwned>(mut self) -> Result<T> {
        let mut text = String::new();
        let output = self
            .0
            .stdout
            .as_mut()
            .context("its output is read already")?;
        output.read_to_string(&mut text)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "the program ended with {status}");
        let line = text
            .lines()
            .next_back()
            .context("the program printed nothing")?;
        serde_json::from_str(line).with_context(|| format!("not expected from it: {line}"))
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }

    /// Its memory now.
    ///
    /// # Errors
    /// Where the system has no /proc.
    pub fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.0.id());
        let status = fs::read_to_string(&path)
            .with_context(|| format!("{path} cannot be read; memory is measured on Linux only"))?;
        let kilobytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            let number = number.and_then(|number| number.parse::<u64>().ok());
            number.with_context(|| format!("{path} has no {name}"))
        };
        Ok(Memory {
            now: kilobytes("VmRSS:")? << 10,
            peak: kilobytes("VmHWM:")? << 10,
        })
    }

    /// Processor seconds that it has used.
    ///
    /// # Errors
    /// Where the system has no /proc.
    pub fn processor_seconds(&self) -> Result<f64> {
        /// Linux counts in hundredths of a second for programs, whatever it does inside.
        const TICKS: f64 = 100.0;
        let path = format!("/proc/{}/stat", self.0.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        // The program's name, in parentheses, may have spaces.
        let (_, rest) = stat
            .rsplit_once(')')
            .context("an unknown form of /proc/PID/stat")?;
        let field = |place: usize| rest.split_whitespace().nth(place)?.parse::<f64>().ok();
        let ticks = field(11)
            .zip(field(12))
            .context("an unknown form of /proc/PID/stat")?;
        Ok((ticks.0 + ticks.1) / TICKS)
    }
}

/// Resident bytes of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    pub now: u64,
    pub peak: u64,
}

/// Starts `lpfl join --stub`.
///
/// # Errors
/// When it does not start.
pub fn join(program: &Path, url: &str, room: &str, clients: u32) -> Result<Running> {
    let mut command = Command::new(program);
    command
        .args(["join", url, "--room", room, "--stub", "--json", "--clients"])
        .arg(clients.to_string());
    Running::start(&mut command)
}

/// What `lpfl join --stub --json` prints, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
pub struct Joined {
    pub clients: u32,
    pub parameters: usize,
    pub finished: u32,
    pub reconnects: u64,
    pub rounds: u32,
    pub seconds: f64,
    pub updates: u64,
    pub updates_per_s: f64,
    pub latency_ms: Latencies,
}

impl Joined {
    /// Programs that took part side by side: their sums, and the worst of their latencies.
    pub fn together(programs: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut all = programs.into_iter().reduce(|one, other| Self {
            clients: one.clients + other.clients,
            parameters: one.parameters,
            finished: one.finished + other.finished,
            reconnects: one.reconnects + other.reconnects,
            rounds: one.rounds.max(other.rounds),
            seconds: one.seconds.max(other.seconds),
            updates: one.updates + other.updates,
            updates_per_s: 0.0,
            latency_ms: one.latency_ms.worse(other.latency_ms),
        })?;
        all.updates_per_s = all.updates as f64 / all.seconds;
        Some(all)
    }
}

/// Percentiles of the steps that are printed.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Latencies {
    pub welcome: Percentiles,
    pub acknowledge: Percentiles,
    pub global: Percentiles,
}

impl Latencies {
    fn worse(self, other: Self) -> Self {
        Self {
            welcome: self.welcome.worse(other.welcome),
            acknowledge: self.acknowledge.worse(other.acknowledge),
            global: self.global.worse(other.global),
        }
    }
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

impl Percentiles {
    fn worse(self, other: Self) -> Self {
        Self {
            p50: self.p50.max(other.p50),
            p99: self.p99.max(other.p99),
            max: self.max.max(other.max),
        }
    }
}
