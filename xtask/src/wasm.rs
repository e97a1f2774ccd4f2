//! The browser client: compiled for wasm32, bound to JavaScript, optimised.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::fingerprint::{Inputs, unless_unchanged};
use crate::report::{Done, Output, Report, Step};
use crate::versions;
use crate::workspace::Workspace;

/// What the compiler may use on wasm32 (see `.cargo/config.toml`); wasm-opt must be told again.
const FEATURES: [&str; 8] = [
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// The vector instructions that a module may use beyond those of every browser of today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simd {
    Plain,
    Relaxed,
}

impl Simd {
    /// Where modules of this kind lie in the folder of the plain ones.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Relaxed => "relaxed",
        }
    }

    /// Lets the compiler use them.
    pub fn allow(self, cargo: &mut Command) {
        if self == Self::Relaxed {
            let flags =
                "target.wasm32-unknown-unknown.rustflags=['-C', 'target-feature=+relaxed-simd']";
            cargo.args(["--config", flags]);
        }
    }

    /// What wasm-opt must be told.
    fn features(self) -> Vec<&'static str> {
        let more = (self == Self::Relaxed).then_some("--enable-relaxed-simd");
        FEATURES.into_iter().chain(more).collect()
    }
}

/// Builds the browser client into `client-wasm/pkg`.
///
/// A browser without relaxed SIMD refuses a whole module that has an instruction of it, so there
/// are two, and the page's worker loads the one that its browser takes.
pub fn build(workspace: &Workspace, report: &mut Report) -> Result<()> {
    client(workspace, report, "wasm", Simd::Plain)?;
    client(workspace, report, "wasm-relaxed", Simd::Relaxed)
}

fn client(
    workspace: &Workspace,
    report: &mut Report,
    name: &'static str,
    simd: Simd,
) -> Result<()> {
    let mend = "mend the code that the compiler names, or delete client-wasm/pkg and try again";
    report.step(name, Output::Folded, mend, |step| {
        let mut cargo =
            workspace.cargo_wasm(&["build", "--package=client-wasm", "--lib", "--profile=wasm"]);
        simd.allow(&mut cargo);
        step.run(&mut cargo)?;
        let compiled = workspace
            .target
            .join("wasm32-unknown-unknown/wasm/client_wasm.wasm");
        let inputs = Inputs::default()
            .text(&versions::locked(workspace, "wasm-bindgen-cli-support")?)
            .text(&simd.features().join(" "))
            .file(&compiled)?
            .file(&optimiser(workspace).join("package.json"))
            .context("www/package.json does not name binaryen")?;
        let package = workspace.client_package().join(simd.folder());
        let module = package.join("client_wasm_bg.wasm");
        let outputs = [package.join("client_wasm.js"), module.clone()];
        unless_unchanged(workspace, name, inputs, &outputs, || {
            bind(&compiled, &package, "client_wasm")?;
            let before = megabytes(&module)?;
            optimise(workspace, step, &module, simd)?;
            let after = megabytes(&module)?;
            Ok(Done::RanWith(format!(
                "{before:.2} MB, optimised {after:.2} MB"
            )))
        })
    })
}

/// The folder of the optimiser, which npm installs for the page.
pub fn optimiser(workspace: &Workspace) -> PathBuf {
    workspace.page().join("node_modules/binaryen")
}

/// Writes the module with its JavaScript and TypeScript sides to `package`, under this name.
pub fn bind(compiled: &Path, package: &Path, name: &str) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(compiled)
        .out_name(name)
        .web(true)?
        .typescript(true)
        .remove_producers_section(true)
        .generate(package)
        .context("the bindings to JavaScript could not be made")
}

/// Optimises the module in place.
pub fn optimise(workspace: &Workspace, step: &Step, module: &Path, simd: Simd) -> Result<()> {
    let optimised = module.with_extension("optimised");
    step.run(
        workspace
            .node(&optimiser(workspace).join("bin/wasm-opt"))
            .arg("-O2")
            .args(simd.features())
            .arg(module)
            .arg("-o")
            .arg(&optimised),
    )?;
    fs::rename(&optimised, module)
        .with_context(|| format!("{} could not be replaced", module.display()))
}

fn megabytes(path: &Path) -> Result<f64> {
    let meta = fs::metadata(path).with_context(|| format!("{} is missing", path.display()))?;
    Ok(meta.len() as f64 / 1e6)
}
