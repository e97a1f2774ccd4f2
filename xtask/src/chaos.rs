//! A federation of real processes under chaos, with the built binary.

use anyhow::Result;

use crate::arguments::Form;
use crate::report::{Done, Output, Report};
use crate::workspace::Workspace;

/// Plays it. The binary has to be there.
pub fn run(
    workspace: &Workspace,
    report: &mut Report,
    form: Form,
    seed: Option<u64>,
) -> Result<()> {
    let mend = "`cargo xtask chaos --seed N` makes the same plan again; N is the printed seed";
    report.step("chaos", Output::Shown, mend, |step| {
        let mut command = workspace.cargo(&["test", "--package=tests", "--test=chaos", "--"]);
        command
            .args(["--ignored", "--nocapture"])
            .env("LPFL_BIN", workspace.binary())
            .env("LPFL_CHAOS", form.name());
        match seed {
            Some(seed) => command.env("LPFL_SEED", seed.to_string()),
            None => &mut command,
        };
        step.run(&mut command)?;
        Ok(Done::Ran)
    })
}
