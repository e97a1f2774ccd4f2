//! The page: Node.js, npm's packages, the TypeScript declarations, and Vite's build.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::fingerprint::{Inputs, files_below, unless_unchanged};
use crate::report::{Done, Output, Report};
use crate::versions;
use crate::workspace::{Workspace, first_line};

/// Checks that Node.js and npm are there and new enough.
pub fn check_node(workspace: &Workspace) -> Result<()> {
    let mend = "install the newest long-term version of Node.js from https://nodejs.org";
    let Some(version) = first_line(Command::new("node").arg("--version")) else {
        bail!("`node` was not found; {mend}");
    };
    if !is_supported(&version) {
        bail!("Node.js {version} is too old for the page's tools; {mend}");
    }
    if first_line(&mut workspace.npm(&["--version"])).is_none() {
        bail!("`npm` was not found beside Node.js {version}; {mend}");
    }
    Ok(())
}

/// Whether Vite runs on this version of Node.js, such as `v20.19.0` (`engines` in package.json).
fn is_supported(version: &str) -> bool {
    let mut numbers = version
        .trim_start_matches('v')
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(20), Some(minor)) => minor >= 19,
        (Some(22), Some(minor)) => minor >= 12,
        (Some(major), _) => major > 22,
        (None, _) => false,
    }
}

/// Installs npm's packages as package-lock.json names them.
pub fn install(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let page = workspace.page();
    let mend = "check the network, or delete www/node_modules and try again";
    report.step("packages", Output::Folded, mend, |step| {
        let inputs = Inputs::default()
            .file(&page.join("package.json"))?
            .file(&page.join("package-lock.json"))?;
        // npm writes this file last.
        let outputs = [page.join("node_modules/.package-lock.json")];
        unless_unchanged(workspace, "packages", inputs, &outputs, || {
            step.run(&mut workspace.npm(&["ci", "--no-audit", "--no-fund"]))?;
            Ok(Done::Ran)
        })
    })
}

/// Writes the TypeScript declarations of everything that page and worker exchange.
pub fn declare(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let folder = workspace.page().join("src/generated");
    let mend = "mend the Rust types that the compiler names";
    report.step("declarations", Output::Folded, mend, |step| {
        let inputs = declaration_inputs(workspace)?;
        let outputs = [folder.clone()];
        unless_unchanged(workspace, "declarations", inputs, &outputs, || {
            // Types that are gone must not keep their declarations.
            if folder.exists() {
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("{} could not be removed", folder.display()))?;
            }
            // In release, because the binary needs the same dependencies in release later.
            let mut export = workspace.cargo(&[
                "test",
                "--release",
                "--lib",
                "--package",
                "client-wasm",
                "--package",
                "fl-core",
                "--features",
                "client-wasm/typescript",
                "export_bindings",
            ]);
            step.run(export.env("TS_RS_EXPORT_DIR", &folder))?;
            let count = files_below(&folder, &|_: &Path| true)?.len();
            Ok(Done::RanWith(format!("{count} files")))
        })
    })
}

/// The source files that derive declarations, and what derives them.
fn declaration_inputs(workspace: &Workspace) -> Result<Inputs> {
    let mut inputs = Inputs::default().text(&versions::locked(workspace, "ts-rs")?);
    for package in ["fl-core", "client-wasm"] {
        let folder = workspace.root.join(package);
        inputs = inputs.file(&folder.join("Cargo.toml"))?;
        for path in files_below(&folder.join("src"), &|_: &Path| true)? {
            if fs::read_to_string(&path)?.contains("ts_rs") {
                inputs = inputs.file(&path)?;
            }
        }
    }
    Ok(inputs)
}

/// Builds the page into `www/dist`.
pub fn build(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let page = workspace.page();
    let mend = "mend what the TypeScript compiler or Vite names";
    report.step("page", Output::Folded, mend, |step| {
        let inputs = Inputs::default()
            .tree(&page, is_page_source)?
            .tree(&workspace.client_package(), |_| true)?;
        let outputs = [page.join("dist")];
        unless_unchanged(workspace, "page", inputs, &outputs, || {
            step.run(&mut workspace.npm(&["run", "build"]))?;
            Ok(Done::Ran)
        })
    })
}

/// Everything in the page's folder but what npm and Vite make, and the tests.
fn is_page_source(path: &Path) -> bool {
    let made = ["node_modules", "dist", "coverage", ".vite"];
    !made.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_node_is_told_from_new() {
        for version in ["v20.19.0", "v22.12.1", "v24.0.0", "v23.1.0"] {
            assert!(is_supported(version), "{version}");
        }
        for version in ["v18.20.0", "v20.11.1", "v21.7.0", "v22.3.0", "unknown"] {
            assert!(!is_supported(version), "{version}");
        }
    }

    #[test]
    fn page_sources_leave_out_what_is_made() {
        assert!(is_page_source(Path::new("src/generated/Event.ts")));
        assert!(!is_page_source(Path::new("dist/index.html")));
        assert!(!is_page_source(Path::new("node_modules")));
    }
}
