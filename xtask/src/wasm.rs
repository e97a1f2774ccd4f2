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

/// The browser client, compiled for what a browser may have.
struct Variant {
    /// Its step's name.
    name: &'static str,
    /// Where it lies in `client-wasm/pkg`.
    folder: &'static str,
    /// What the compiler may use beyond [`FEATURES`], as rustc and as wasm-opt name it.
    more: Option<(&'static str, &'static str)>,
}

/// A browser without relaxed SIMD refuses a whole module that has an instruction of it, so there
/// are two, and the page's worker loads the one that its browser takes.
const VARIANTS: [Variant; 2] = [
    Variant {
        name: "wasm",
        folder: "",
        more: None,
    },
    Variant {
        name: "wasm-relaxed",
        folder: "relaxed",
        more: Some(("+relaxed-simd", "--enable-relaxed-simd")),
    },
];

/// Builds the browser client into `client-wasm/pkg`.
pub fn build(workspace: &Workspace, report: &mut Report) -> Result<()> {
    VARIANTS
        .iter()
        .try_for_each(|variant| variant.build(workspace, report))
}

impl Variant {
    fn build(&self, workspace: &Workspace, report: &mut Report) -> Result<()> {
        let mend = "mend the code that the compiler names, or delete client-wasm/pkg and try again";
        report.step(self.name, Output::Folded, mend, |step| {
            let mut cargo = workspace.cargo_wasm(&[
                "build",
                "--package=client-wasm",
                "--lib",
                "--profile=wasm",
            ]);
            let mut features = FEATURES.to_vec();
            if let Some((compiler, optimiser)) = self.more {
                let flags = format!("[\"-C\", \"target-feature={compiler}\"]");
                cargo
                    .arg("--config")
                    .arg(format!("target.wasm32-unknown-unknown.rustflags={flags}"));
                features.push(optimiser);
            }
            step.run(&mut cargo)?;
            let compiled = workspace
                .target
                .join("wasm32-unknown-unknown/wasm/client_wasm.wasm");
            let optimiser = workspace.page().join("node_modules/binaryen");
            let inputs = Inputs::default()
                .text(&versions::locked(workspace, "wasm-bindgen-cli-support")?)
                .text(&features.join(" "))
                .file(&compiled)?
                .file(&optimiser.join("package.json"))
                .context("www/package.json does not name binaryen")?;
            let package = workspace.client_package().join(self.folder);
            let module = package.join("client_wasm_bg.wasm");
            let outputs = [package.join("client_wasm.js"), module.clone()];
            unless_unchanged(workspace, self.name, inputs, &outputs, || {
                bind(&compiled, &package)?;
                let before = megabytes(&module)?;
                let program = optimiser.join("bin/wasm-opt");
                optimise(workspace, step, &program, &module, &features)?;
                let after = megabytes(&module)?;
                Ok(Done::RanWith(format!(
                    "{before:.2} MB, optimised {after:.2} MB"
                )))
            })
        })
    }
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
fn optimise(
    workspace: &Workspace,
    step: &Step,
    optimiser: &Path,
    module: &Path,
    features: &[&str],
) -> Result<()> {
    let optimised = module.with_extension("optimised");
    step.run(
        workspace
            .node(optimiser)
            .arg("-O2")
            .args(features)
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
