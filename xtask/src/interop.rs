//! The exchange of adapters and models with Hugging Face's PEFT and transformers, where they are.

use std::env;
use std::ffi::OsString;
use std::process::Command;

use anyhow::{Result, bail};

use crate::report::{Done, Output, Report};
use crate::workspace::{Workspace, first_line};

/// Names the interpreter.
const VARIABLE: &str = "LPFL_PYTHON";

/// Imports what the test imports, and prints its versions.
const VERSIONS: &str = "import peft, tokenizers, torch, transformers; print(*(f'{m.__name__} \
                        {m.__version__}' for m in (torch, transformers, peft, tokenizers)), sep=', ')";

/// Runs the interop test with an interpreter that has PEFT, or says how to get one.
pub fn run(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let mend = "mend what the test names, or leave the step out with --skip interop";
    report.step("interop", Output::Shown, mend, |step| {
        let named = env::var_os(VARIABLE);
        let python = named.clone().unwrap_or_else(|| OsString::from("python3"));
        let Some(versions) = first_line(Command::new(&python).args(["-c", VERSIONS])) else {
            let have = "torch, transformers and peft";
            if named.is_some() {
                let python = python.to_string_lossy();
                bail!("{VARIABLE} names {python}, which cannot import {have}");
            }
            return Ok(Done::Skipped(format!(
                "no python3 with {have}: make a virtual environment with `pip install -r \
                 tests/golden/requirements.txt` and set {VARIABLE} to its python"
            )));
        };
        step.run(
            workspace
                // The whole workspace, so that cargo finds what the step before has built.
                .cargo(&["test", "--workspace", "--test=interop", "--"])
                .args(["--ignored", "--nocapture"])
                .env(VARIABLE, &python),
        )?;
        Ok(Done::RanWith(versions))
    })
}
