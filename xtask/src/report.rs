//! What a person sees of the steps: a line each with its time, and the failing one's last words.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// Lines of a failed program's output that are shown.
const TAIL_LINES: usize = 60;
/// Width of the line that shows what a program is doing.
const LIVE_WIDTH: usize = 78;

/// How a step ended well.
pub enum Done {
    /// Its work was done.
    Ran,
    /// Its work was done, and this is worth saying.
    RanWith(String),
    /// Its inputs are what they were.
    Unchanged,
    /// What it needs is not here, and this is how to get it.
    Skipped(String),
}

/// Where a step's programs write.
#[derive(Clone, Copy)]
pub enum Output {
    /// To a log; one line shows the latest of it, and a failure shows the end.
    Folded,
    /// To the terminal, as it comes: tests, whose counts people want to see.
    Shown,
}

/// One finished step.
struct Line {
    name: &'static str,
    outcome: &'static str,
    duration: Duration,
}

/// Runs steps and keeps what became of them.
pub struct Report {
    logs: PathBuf,
    print: fn(&str),
    lines: Vec<Line>,
}

impl Report {
    /// A report without steps.
    pub fn new(workspace: &Workspace) -> Self {
        Self {
            logs: workspace.notes().join("logs"),
            print: |line| println!("{line}"),
            lines: Vec::new(),
        }
    }

    /// One that leaves standard output to figures.
    pub fn aside(workspace: &Workspace) -> Self {
        Self {
            print: |line| eprintln!("{line}"),
            ..Self::new(workspace)
        }
    }

    /// Runs one step; `mend` says what a person can do when it fails.
    pub fn step(
        &mut self,
        name: &'static str,
        output: Output,
        mend: &str,
        work: impl FnOnce(&Step) -> Result<Done>,
    ) -> Result<()> {
        if matches!(output, Output::Shown) {
            (self.print)(&format!("── {name}"));
        }
        let started = Instant::now();
        let step = Step {
            name,
            output,
            log: self.logs.join(format!("{name}.log")),
            started,
        };
        let result = work(&step);
        let duration = started.elapsed();
        let (outcome, note) = match &result {
            Ok(Done::Ran) => ("ok", String::new()),
            Ok(Done::RanWith(note)) => ("ok", format!("  {note}")),
            Ok(Done::Unchanged) => ("unchanged", String::new()),
            Ok(Done::Skipped(note)) => ("skipped", format!("  {note}")),
            Err(_) => ("FAILED", String::new()),
        };
        (self.print)(&format!(
            "{name:<14} {outcome:<10} {:>8}{note}",
            format_duration(duration)
        ));
        self.lines.push(Line {
            name,
            outcome,
            duration,
        });
        match result {
            Ok(_) => Ok(()),
            Err(error) => bail!("step `{name}` failed: {error:#}; {mend}"),
        }
    }

    /// Prints every step with its outcome and time, and the sum.
    pub fn print_summary(&self) {
        println!("\n{:<14} {:<10} {:>8}", "step", "outcome", "time");
        for line in &self.lines {
            let time = format_duration(line.duration);
            println!("{:<14} {:<10} {time:>8}", line.name, line.outcome);
        }
        let sum = self.lines.iter().map(|line| line.duration).sum();
        println!("{:<14} {:<10} {:>8}", "all", "", format_duration(sum));
    }
}

/// A step at work.
pub struct Step {
    name: &'static str,
    output: Output,
    log: PathBuf,
    started: Instant,
}

impl Step {
    /// Runs a program to its end; a bad end is an error that names the program.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        match self.output {
            Output::Shown => self.run_shown(command),
            Output::Folded => self.run_folded(command),
        }
    }

    fn run_shown(&self, command: &mut Command) -> Result<()> {
        let status = command
            .status()
            .with_context(|| format!("`{}` could not be started", describe(command)))?;
        if !status.success() {
            bail!("`{}` ended with {status}", describe(command));
        }
        Ok(())
    }

    fn run_folded(&self, command: &mut Command) -> Result<()> {
        if let Some(folder) = self.log.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("{} could not be made", folder.display()))?;
        }
        let mut log = File::create(&self.log)
            .with_context(|| format!("{} could not be written", self.log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("`{}` could not be started", describe(command)))?;
        let (sender, lines) = mpsc::channel();
        if let Some(pipe) = child.stdout.take() {
            forward(pipe, sender.clone());
        }
        if let Some(pipe) = child.stderr.take() {
            forward(pipe, sender.clone());
        }
        drop(sender);

        let mut tail = VecDeque::with_capacity(TAIL_LINES);
        loop {
            match lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => {
                    writeln!(log, "{line}")?;
                    if tail.len() == TAIL_LINES {
                        tail.pop_front();
                    }
                    tail.push_back(line);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.show_live(tail.back().map_or("", String::as_str));
        }
        clear_live();
        let status = child.wait()?;
        if !status.success() {
            for line in tail {
                eprintln!("  {line}");
            }
            bail!(
                "`{}` ended with {status} (all it said: {})",
                describe(command),
                self.log.display()
            );
        }
        Ok(())
    }

    fn show_live(&self, line: &str) {
        if io::stdout().is_terminal() {
            let time = format_duration(self.started.elapsed());
            let text = format!("{:<14} {time:>8}  {}", self.name, line.trim());
            let text: String = text.chars().take(LIVE_WIDTH).collect();
            print!("\r\x1b[K{text}");
            // A terminal that cannot be written to loses a progress line, no more.
            let _ = io::stdout().flush();
        }
    }
}

fn clear_live() {
    if io::stdout().is_terminal() {
        print!("\r\x1b[K");
        let _ = io::stdout().flush();
    }
}

/// Sends a pipe's lines on, whatever bytes they hold, until it is closed.
fn forward(pipe: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
}

/// The command as a person would type it.
fn describe(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|part| part.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!(
            "{}:{:02} min",
            duration.as_secs() / 60,
            duration.as_secs() % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(format_duration(Duration::from_millis(340)), "0.3 s");
        assert_eq!(format_duration(Duration::from_secs(125)), "2:05 min");
    }

    #[test]
    fn commands_are_named_without_folder() {
        let mut command = Command::new("/some/where/cargo");
        command.args(["build", "--release"]);
        assert_eq!(describe(&command), "cargo build --release");
    }
}
