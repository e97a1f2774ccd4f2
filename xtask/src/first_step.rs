//! How long a tab takes to its first training step: measured by an end-to-end scenario with the
//! built binary, printed with the speed bench's figures.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::report::{Done, Output, Report};
use crate::steps;
use crate::tools::{self, Browsers};
use crate::workspace::Workspace;

/// Plays the scenario and prints what it measured.
pub fn measure(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    // The scenario drives Chromium; a run of one work or a quick one is about something else.
    if ["--quick", "--firefox", "--work"].into_iter().any(has) {
        return Ok(());
    }
    let mut report = Report::aside(workspace);
    steps::build(workspace, &mut report)?;
    let mend = "`cargo xtask test --only end-to-end` says more";
    report.step("first-step", Output::Folded, mend, |step| {
        let browsers = tools::browsers(step)?;
        step.run(&mut scenario(workspace, &browsers))?;
        Ok(Done::Ran)
    })?;
    let name = match has("--json") {
        true => "first-step.jsonl",
        false => "first-step.txt",
    };
    let path = workspace.target.join("e2e").join(name);
    let figures = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    print!("{figures}");
    Ok(())
}

fn scenario(workspace: &Workspace, browsers: &Browsers) -> Command {
    let test = ["test", "--package=tests", "--test=e2e", "--", "--ignored"];
    let mut command = workspace.cargo(&test);
    command
        .arg("first_step_after_a_cold_and_a_warm_start")
        .env("LPFL_BIN", workspace.binary())
        .env("CHROME", &browsers.chrome)
        .env("CHROMEDRIVER", &browsers.chromedriver);
    command
}
