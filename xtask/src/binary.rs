//! The one binary, `lpfl`, with page, browser client, model and texts inside; and its start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::report::{Done, Output, Report};
use crate::workspace::Workspace;

/// Builds the binary; returns its path.
pub fn build(workspace: &Workspace, report: &mut Report) -> Result<PathBuf> {
    let path = workspace.binary();
    let mend = "mend the code that the compiler names";
    report.step("binary", Output::Folded, mend, |step| {
        let changed = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let before = changed(&path);
        step.run(&mut workspace.cargo(&["build", "--release", "--package", "cli"]))?;
        let size = fs::metadata(&path)
            .with_context(|| format!("cargo made no {}", path.display()))?
            .len();
        if before.is_some() && before == changed(&path) {
            return Ok(Done::Unchanged);
        }
        Ok(Done::RanWith(format!("{:.1} MB", size as f64 / 1e6)))
    })?;
    Ok(path)
}

/// Serves with the binary until it ends.
///
/// On Unix the server takes this process's place, so that Ctrl-C and every other signal reach it.
pub fn serve(binary: &Path, flags: &[String]) -> Result<()> {
    let mut command = Command::new(binary);
    command.arg("serve").args(flags);
    let cause = || format!("{} could not be started", binary.display());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        Err(command.exec()).with_context(cause)
    }
    #[cfg(not(unix))]
    {
        let status = command.status().with_context(cause)?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}
