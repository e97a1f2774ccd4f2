//! What the speed bench needs: WebAssembly modules of the engines, npm's packages of the others,
//! and a browser.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::fingerprint::{Inputs, unless_unchanged};
use crate::report::{Done, Output, Report};
use crate::tools::{self, Browsers};
use crate::wasm::{self, Simd};
use crate::workspace::Workspace;
use crate::{page, versions};

/// Where the bench's modules and works lie; the measuring program's `--scratch`.
fn scratch(workspace: &Workspace) -> PathBuf {
    workspace.target.join("browser-bench")
}

/// Makes everything that `bench browser` with these arguments needs, and completes its command.
pub fn prepare(workspace: &Workspace, arguments: &[String], command: &mut Command) -> Result<()> {
    let mut report = Report::aside(workspace);
    page::check_node(workspace)?;
    page::install(workspace, &mut report)?;
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    if !is_quick {
        wasm::build(workspace, &mut report)?;
        packages(workspace, &mut report)?;
    }
    modules(workspace, &mut report)?;
    if !is_quick {
        for module in &OF_WHOLE_RUNS {
            module.build(workspace, &mut report)?;
        }
    }
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

/// A module of the bench.
struct Module {
    /// Its step's name.
    step: &'static str,
    package: &'static str,
    features: &'static [&'static str],
    /// Where it lies among the modules.
    folder: &'static str,
    compiled: Compiled,
    /// Loops of the peak stay as the compiler made them.
    is_optimised: bool,
}

/// How a module is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compiled {
    /// As the product is: `.cargo/config.toml`.
    AsOurs(Simd),
    /// As candle's own examples for the browser are: with SIMD, and nothing told to LLVM.
    AsItComes,
}

impl Compiled {
    fn say(self, cargo: &mut Command) {
        match self {
            Self::AsOurs(simd) => simd.allow(cargo),
            // This variable replaces the flags of the configuration, and does not add to them.
            Self::AsItComes => {
                let flags = "-C target-feature=+simd128 --cfg getrandom_backend=\"wasm_js\"";
                cargo.env("RUSTFLAGS", flags);
            }
        }
    }

    fn simd(self) -> Simd {
        match self {
            Self::AsOurs(simd) => simd,
            Self::AsItComes => Simd::Plain,
        }
    }
}

/// Those of the regression guard.
const MODULES: [Module; 3] = [
    Module {
        step: "bench-wasm",
        package: "browser-bench",
        features: &[],
        folder: "",
        compiled: Compiled::AsOurs(Simd::Plain),
        is_optimised: true,
    },
    Module {
        step: "peak-wasm",
        package: "simd-peak",
        features: &[],
        folder: "plain",
        compiled: Compiled::AsOurs(Simd::Plain),
        is_optimised: false,
    },
    Module {
        step: "peak-relaxed-wasm",
        package: "simd-peak",
        features: &["--features=relaxed"],
        folder: "relaxed",
        compiled: Compiled::AsOurs(Simd::Plain),
        is_optimised: false,
    },
];

/// The engines as browsers with relaxed SIMD run them, candle as it comes, and the peak of
/// relaxed SIMD's products of bytes.
const OF_WHOLE_RUNS: [Module; 3] = [
    Module {
        step: "bench-candle-wasm",
        package: "browser-bench",
        features: &[],
        folder: "candle",
        compiled: Compiled::AsItComes,
        is_optimised: true,
    },
    Module {
        step: "bench-relaxed-wasm",
        package: "browser-bench",
        features: &[],
        folder: "relaxed",
        compiled: Compiled::AsOurs(Simd::Relaxed),
        is_optimised: true,
    },
    Module {
        step: "peak-int8-wasm",
        package: "simd-peak",
        features: &["--features=int8"],
        folder: "int8",
        compiled: Compiled::AsOurs(Simd::Plain),
        is_optimised: false,
    },
];

/// Builds the engines written in Rust, and the loops that measure the peak.
pub fn modules(workspace: &Workspace, report: &mut Report) -> Result<()> {
    MODULES
        .iter()
        .try_for_each(|module| module.build(workspace, report))
}

impl Module {
    fn build(&self, workspace: &Workspace, report: &mut Report) -> Result<()> {
        let mend = "mend the code that the compiler names";
        let name = self.package.replace('-', "_");
        report.step(self.step, Output::Folded, mend, |step| {
            let mut cargo =
                workspace.cargo_wasm(&["build", "--lib", "--profile=wasm", "--package"]);
            cargo.arg(self.package).args(self.features);
            self.compiled.say(&mut cargo);
            step.run(&mut cargo)?;
            let compiled = workspace
                .target
                .join(format!("wasm32-unknown-unknown/wasm/{name}.wasm"));
            let inputs = Inputs::default()
                .text(&versions::locked(workspace, "wasm-bindgen-cli-support")?)
                .file(&wasm::optimiser(workspace).join("package.json"))?
                .file(&compiled)?;
            let folder = scratch(workspace).join("pkg").join(self.folder);
            let bound = folder.join(format!("{name}_bg.wasm"));
            let outputs = [folder.join(format!("{name}.js")), bound.clone()];
            unless_unchanged(workspace, self.step, inputs, &outputs, || {
                wasm::bind(&compiled, &folder, &name)?;
                if self.is_optimised {
                    wasm::optimise(workspace, step, &bound, self.compiled.simd())?;
                }
                Ok(Done::Ran)
            })
        })
    }
}
