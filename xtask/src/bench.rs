//! Starts the measuring program, built as users' binaries are.

use anyhow::{Context as _, Result, ensure};

use crate::speed;
use crate::workspace::Workspace;

/// Builds and runs `benches` with these arguments, at the root of the checkout.
///
/// Figures go to standard output alone, so that `--json` can be piped.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let _claim = workspace.claim()?;
    let build = ["run", "--release", "--quiet", "--package", "benches", "--"];
    let mut command = workspace.cargo(&build);
    command.args(arguments);
    let asks_for_help = arguments.iter().any(|argument| argument == "--help");
    if arguments.first().is_some_and(|what| what == "browser") && !asks_for_help {
        speed::prepare(workspace, arguments, &mut command)?;
    }
    let status = command
        // The seeds share the cores. Threads of one seed's products would wait by spinning, and
        // take the cores from the others.
        .env("CANDLE_NUM_THREADS", "1")
        .env("RAYON_NUM_THREADS", "1")
        .status()
        .context("cargo could not be started")?;
    ensure!(status.success(), "the measurement ended with {status}");
    Ok(())
}
