//! The server under what its own description allows, where schemathesis is.

use std::env;
use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::report::{Done, Output, Report};
use crate::workspace::{Workspace, first_line};

/// Names the interpreter.
const VARIABLE: &str = "LPFL_PYTHON";

/// Imports what the test runs, and prints its version.
const VERSION: &str = "import schemathesis; print('schemathesis', schemathesis.__version__)";

/// Runs the test with an interpreter that has schemathesis, or says how to get one.
pub fn run(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let mend = "mend what schemathesis names, or leave the step out with --skip openapi";
    report.step("openapi", Output::Shown, mend, |step| {
        let named = env::var_os(VARIABLE);
        let python = named.unwrap_or_else(|| OsString::from("python3"));
        let Some(version) = first_line(Command::new(&python).args(["-c", VERSION])) else {
            return Ok(Done::Skipped(format!(
                "no python3 with schemathesis: `pip install schemathesis` in a virtual environment \
                 and set {VARIABLE} to its python"
            )));
        };
        step.run(
            workspace
                // The whole workspace, so that cargo finds what the step before has built.
                .cargo(&["test", "--workspace", "--test=server", "--"])
                .args(["--ignored", "--nocapture"])
                .env(VARIABLE, &python),
        )?;
        Ok(Done::RanWith(version))
    })
}
