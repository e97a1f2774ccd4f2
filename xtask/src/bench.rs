//! Starts the measuring program, built as users' binaries are.

use anyhow::{Context as _, Result, ensure};

use crate::report::Report;
use crate::workspace::Workspace;
use crate::{first_step, speed, steps, tools};

/// Builds and runs `benches` with these arguments, at the root of the checkout.
///
/// Figures go to standard output alone, so that `--json` can be piped.
pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let _claim = workspace.claim()?;
    let build = ["run", "--release", "--quiet", "--package", "benches", "--"];
    let mut command = workspace.cargo(&build);
    command.args(arguments);
    let asks_for_help = arguments.iter().any(|argument| argument == "--help");
    let what = arguments.first().filter(|_| !asks_for_help);
    let what = what.map(String::as_str);
    match what {
        Some("browser") => speed::prepare(workspace, arguments, &mut command)?,
        Some("server") => {
            let program = steps::build(workspace, &mut Report::aside(workspace))?;
            command.arg("--program").arg(program);
            command
                .arg("--scratch")
                .arg(workspace.target.join("server-bench"));
            if let Some(nats_server) = tools::nats_server_path() {
                command.arg("--nats-server").arg(nats_server);
            }
        }
        _ => {}
    }
    let status = command
        // The seeds share the cores. Threads of one seed's products would wait by spinning, and
        // take the cores from the others.
        .env("CANDLE_NUM_THREADS", "1")
        .env("RAYON_NUM_THREADS", "1")
        .status()
        .context("cargo could not be started")?;
    ensure!(status.success(), "the measurement ended with {status}");
    match what {
        Some("browser") => first_step::measure(workspace, arguments),
        _ => Ok(()),
    }
}
