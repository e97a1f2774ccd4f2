//! The browser client: compiled for wasm32, bound to JavaScript, optimised.

use std::fs;
use std::path::{Path, PathBuf};

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
        let inputs = Inputs::default()
            .text(&versions::locked(workspace, "wasm-bindgen-cli-support")?)
            .text(&FEATURES.join(" "))
            .file(&compiled)?
            .file(&optimiser(workspace).join("package.json"))
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
                bind(&compiled, &package, "client_wasm")?;
                let module = package.join("client_wasm_bg.wasm");
                let before = megabytes(&module)?;
                optimise(workspace, step, &module)?;
                let after = megabytes(&module)?;
                Ok(Done::RanWith(format!(
                    "{before:.2} MB, optimised {after:.2} MB"
                )))
            },
        )
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
pub fn optimise(workspace: &Workspace, step: &Step, module: &Path) -> Result<()> {
    let optimised = module.with_extension("optimised");
    step.run(
        workspace
            .node(&optimiser(workspace).join("bin/wasm-opt"))
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
