//! What the speed bench needs: WebAssembly modules of the engines, npm's packages of the others,
//! and a browser.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::fingerprint::{Inputs, unless_unchanged};
use crate::report::{Done, Output, Report, Step};
use crate::tools::{self, Browsers};
use crate::workspace::Workspace;
use crate::{page, versions, wasm};

/// Where the bench's modules and works lie; the measuring program's `--scratch`.
fn scratch(workspace: &Workspace) -> PathBuf {
    workspace.target.join("browser-bench")
}

/// Makes everything that `bench browser` with these arguments needs, and completes its command.
pub fn prepare(workspace: &Workspace, arguments: &[String], command: &mut Command) -> Result<()> {
    let mut report = Report::aside(workspace);
    page::check_node(workspace)?;
    page::install(workspace, &mut report)?;
    if !arguments.iter().any(|argument| argument == "--quick") {
        wasm::build(workspace, &mut report)?;
        packages(workspace, &mut report)?;
    }
    modules(workspace, &mut report)?;
    let mut found = None;
    let mend = "the bench needs Chromium, or Firefox with --firefox";
    report.step("browsers", Output::Folded, mend, |step| {
        found = Some(tools::browsers(step)?);
        Ok(Done::Ran)
    })?;
    let browsers = found.context("no browsers were found")?;
    name_browsers(command, &browsers);
    command.arg("--scratch").arg(scratch(workspace));
    Ok(())
}

/// The regression guard: a test of the measuring program in the build of the tests before.
pub fn guard(workspace: &Workspace, browsers: &Browsers) -> Result<Command> {
    let mut command = workspace.cargo(&["test", "--workspace", "--bin=benches", "--"]);
    command
        .args(["--ignored", "--nocapture", "ours_is_clearly_faster"])
        .env("LPFL_BENCH_SCRATCH", scratch(workspace));
    name_browsers(&mut command, browsers);
    Ok(command)
}

fn name_browsers(command: &mut Command, browsers: &Browsers) {
    command
        .env("CHROME", &browsers.chrome)
        .env("FIREFOX", &browsers.firefox);
}

/// Installs ONNX Runtime Web and TensorFlow.js as the bench's package-lock.json names them.
fn packages(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let folder = workspace.root.join("benches/browser/page");
    let mend = "check the network, or delete benches/browser/page/node_modules and try again";
    report.step("bench-packages", Output::Folded, mend, |step| {
        let inputs = Inputs::default()
            .file(&folder.join("package.json"))?
            .file(&folder.join("package-lock.json"))?;
        let outputs = [folder.join("node_modules/.package-lock.json")];
        unless_unchanged(workspace, "bench-packages", inputs, &outputs, || {
            // What is fetched runs in the tab only: nothing of it is to run here.
            let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
            step.run(workspace.npm(&arguments).current_dir(&folder))?;
            Ok(Done::Ran)
        })
    })
}

/// A module of the bench: its package and features, and the folder of its bindings.
struct Module {
    package: &'static str,
    features: &'static [&'static str],
    folder: &'static str,
    /// Loops of the peak stay as the compiler made them.
    is_optimised: bool,
}

const MODULES: [Module; 3] = [
    Module {
        package: "browser-bench",
        features: &[],
        folder: "",
        is_optimised: true,
    },
    Module {
        package: "simd-peak",
        features: &[],
        folder: "plain",
        is_optimised: false,
    },
    Module {
        package: "simd-peak",
        features: &["--features=relaxed"],
        folder: "relaxed",
        is_optimised: false,
    },
];

/// Builds the engines written in Rust, and the loops that measure the peak.
pub fn modules(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let mend = "mend the code that the compiler names";
    report.step("bench-wasm", Output::Folded, mend, |step| {
        let compiled = scratch(workspace).join("compiled");
        fs::create_dir_all(&compiled)
            .with_context(|| format!("{} could not be made", compiled.display()))?;
        let mut inputs = Inputs::default()
            .text(&versions::locked(workspace, "wasm-bindgen-cli-support")?)
            .file(&wasm::optimiser(workspace).join("package.json"))?;
        let mut files = Vec::new();
        for module in &MODULES {
            let file = compile(workspace, step, module, &compiled)?;
            inputs = inputs.file(&file)?;
            files.push(file);
        }
        let package = scratch(workspace).join("pkg");
        let outputs = [package.clone()];
        unless_unchanged(workspace, "bench-wasm", inputs, &outputs, || {
            if package.exists() {
                fs::remove_dir_all(&package)
                    .with_context(|| format!("{} could not be removed", package.display()))?;
            }
            for (module, file) in MODULES.iter().zip(&files) {
                let name = module.package.replace('-', "_");
                let folder = package.join(module.folder);
                wasm::bind(file, &folder, &name)?;
                if module.is_optimised {
                    let bound = folder.join(format!("{name}_bg.wasm"));
                    wasm::optimise(workspace, step, &bound)?;
                }
            }
            Ok(Done::Ran)
        })
    })
}

/// Compiles a module; the copy survives the next one, which may have its name.
fn compile(
    workspace: &Workspace,
    step: &Step,
    module: &Module,
    folder: &std::path::Path,
) -> Result<PathBuf> {
    let mut cargo = workspace.cargo_wasm(&["build", "--lib", "--profile=wasm", "--package"]);
    step.run(cargo.arg(module.package).args(module.features))?;
    let name = module.package.replace('-', "_");
    let compiled = workspace
        .target
        .join(format!("wasm32-unknown-unknown/wasm/{name}.wasm"));
    let copy = folder.join(format!("{name}{}.wasm", module.folder));
    fs::copy(&compiled, &copy)
        .with_context(|| format!("{} could not be copied", compiled.display()))?;
    Ok(copy)
}
