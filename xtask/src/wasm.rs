//! The browser client: compiled for wasm32, bound to JavaScript, optimised.

use std::fs;
use std::path::Path;

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

/// Builds the browser client into `client-wasm/pkg`.
pub fn build(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let mend = "mend the code that the compiler names, or delete client-wasm/pkg and try again";
    report.step("wasm", Output::Folded, mend, |step| {
        step.run(&mut workspace.cargo_wasm(&[
            "build",
            "--package=client-wasm",
            "--lib",
            "--profile=wasm",
        ]))?;
        let compiled = workspace
            .target
            .join("wasm32-unknown-unknown/wasm/client_wasm.wasm");
        let optimiser = workspace.page().join("node_modules/binaryen");
        let inputs = Inputs::default()
            .text(&versions::locked(workspace, "wasm-bindgen-cli-support")?)
            .text(&FEATURES.join(" "))
            .file(&compiled)?
            .file(&optimiser.join("package.json"))
            .context("www/package.json does not name binaryen")?;
        let package = workspace.client_package();
        unless_unchanged(
            workspace,
            "wasm",
            inputs,
            std::slice::from_ref(&package),
            || {
                if package.exists() {
                    fs::remove_dir_all(&package)
                        .with_context(|| format!("{} could not be removed", package.display()))?;
                }
                bind(&compiled, &package)?;
                let module = package.join("client_wasm_bg.wasm");
                let before = megabytes(&module)?;
                optimise(workspace, step, &optimiser.join("bin/wasm-opt"), &module)?;
                let after = megabytes(&module)?;
                Ok(Done::RanWith(format!(
                    "{before:.2} MB, optimised {after:.2} MB"
                )))
            },
        )
    })
}

/// Writes the module with its JavaScript and TypeScript sides to `package`.
fn bind(compiled: &Path, package: &Path) -> Result<()> {
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(compiled)
        .out_name("client_wasm")
        .web(true)?
        .typescript(true)
        .remove_producers_section(true)
        .generate(package)
        .context("the bindings to JavaScript could not be made")
}

/// Optimises the module in place.
fn optimise(workspace: &Workspace, step: &Step, optimiser: &Path, module: &Path) -> Result<()> {
    let optimised = module.with_extension("optimised");
    step.run(
        workspace
            .node(optimiser)
            .arg("-O2")
            .args(FEATURES)
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
