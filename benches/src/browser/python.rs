//! Python with PyTorch and PEFT: one process a work, and the export to ONNX.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Names the interpreter, as for the tests of interoperation.
const VARIABLE: &str = "LPFL_PYTHON";

/// An interpreter, and where its programs are.
#[derive(Clone, Debug)]
pub struct Interpreter {
    program: OsString,
    scripts: PathBuf,
}

/// What an interpreter cannot do, in words for people.
pub type Lack = String;

impl Interpreter {
    /// The interpreter that the environment names, or `python3`.
    pub fn find(scripts: &Path) -> Self {
        Self {
            program: env::var_os(VARIABLE).unwrap_or_else(|| "python3".into()),
            scripts: scripts.to_owned(),
        }
    }

    /// What keeps the interpreter from importing these modules, if anything does.
    pub fn lacks(&self, modules: &str) -> Option<Lack> {
        let status = Command::new(&self.program)
            .args(["-c", &format!("import {modules}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if status.is_ok_and(|status| status.success()) {
            return None;
        }
        let (program, requirements) = (self.program.display(), self.scripts.display());
        Some(format!(
            "{program} cannot import {modules}: make a virtual environment with `pip install -r \
             {requirements}/requirements.txt` and set {VARIABLE} to its python"
        ))
    }

    /// Writes `model.onnx` to a work's folder.
    ///
    /// # Errors
    /// What the export says.
    pub fn export(&self, work: &Path) -> Result<()> {
        let output = Command::new(&self.program)
            .arg(self.scripts.join("export_onnx.py"))
            .arg(work)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the export to ONNX failed: {said}");
        Ok(())
    }

    /// Starts PyTorch on a work.
    ///
    /// # Errors
    /// When the interpreter does not start.
    pub fn start(&self, work: &Path) -> Result<Python> {
        let mut child = Command::new(&self.program)
            .arg(self.scripts.join("peft_engine.py"))
            .arg(work)
            // The measuring program holds its own products to one thread; PyTorch is told its
            // number with every order.
            .env_remove("RAYON_NUM_THREADS")
            // transformers warns of its own future.
            .env("PYTHONWARNINGS", "ignore")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} could not be started", self.program.display()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Ok(Python {
            orders: stdin.context("Python has no input")?,
            answers: BufReader::new(stdout.context("Python has no output")?),
            child,
        })
    }
}

/// A process that answers each line of JSON with another one.
pub struct Python {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    /// What Python answers to an order.
    ///
    /// # Errors
    /// When the process has ended; it has said why.
    pub fn call(&mut self, order: &Value) -> Result<Value> {
        // A process that has ended closes its input: reading then tells.
        let _ = writeln!(self.orders, "{order}");
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            bail!("PyTorch's process ended with {status}");
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // Nothing can be done about a process that does not end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
