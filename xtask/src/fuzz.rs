//! The decoders under libFuzzer, with cargo-fuzz and a nightly compiler.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::report::{Done, Output, Report};
use crate::tools;
use crate::workspace::{Workspace, first_line};

/// Longest input that is made: enough for every kind, small enough to be made often.
const LONGEST: &str = "-max_len=8192";
/// Milliseconds and megabytes that one input may take: far more than any needs.
const PATIENCE: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];

/// Fuzzes one target, or each.
pub fn run(workspace: &Workspace, target: Option<&str>, minutes: u32) -> Result<()> {
    let known = targets(workspace)?;
    let chosen: Vec<&String> = match target {
        Some(name) => known.iter().filter(|known| *known == name).collect(),
        None => known.iter().collect(),
    };
    let names = known.join(" ");
    ensure!(
        !chosen.is_empty(),
        "there is no target `{}`; the targets are: {names}",
        target.unwrap_or_default()
    );
    let mut nightly = Command::new("rustup");
    if first_line(nightly.args(["run", "nightly", "rustc", "--version"])).is_none() {
        bail!("libFuzzer needs a nightly compiler: `rustup toolchain install nightly`");
    }
    let mut report = Report::new(workspace);
    let mend = "check the network and try again";
    report.step("cargo-fuzz", Output::Folded, mend, |step| {
        tools::install_cargo_fuzz(workspace, step)
    })?;
    for name in chosen {
        fuzz(workspace, &mut report, name, minutes)?;
    }
    Ok(())
}

/// The targets' names: those of their files.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.root.join("fuzz/libfuzzer/fuzz_targets");
    let files = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut names = Vec::new();
    for file in files {
        let path = file?.path();
        names.extend(
            path.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    names.sort();
    Ok(names)
}

/// Writes the target's seeds beside what earlier runs have found worth keeping, and fuzzes from there.
fn fuzz(workspace: &Workspace, report: &mut Report, name: &str, minutes: u32) -> Result<()> {
    let folder = workspace.target.join("fuzz");
    let corpus = folder.join("corpus").join(name);
    let mend = "the input that it names breaks a promise of the target in fuzz/src; mend the decoder and keep the \
                input under fuzz/regressions";
    println!("{name}, {minutes} minutes");
    report.step("fuzz", Output::Shown, mend, |step| {
        let seeds = ["run", "--quiet", "--package=fuzz", "--", name];
        step.run(workspace.cargo(&seeds).arg(&corpus))?;
        let mut command = Command::new("rustup");
        command
            .args(["run", "nightly", "cargo", "fuzz", "run", "--fuzz-dir"])
            .arg(workspace.root.join("fuzz/libfuzzer"))
            .arg("--target-dir")
            .arg(folder.join("target"))
            .arg(name)
            .arg(&corpus)
            .arg("--")
            .args([LONGEST, "-print_final_stats=1"])
            .args(PATIENCE)
            .arg(format!("-max_total_time={}", 60 * minutes))
            .current_dir(&workspace.root)
            .env("PATH", tools::path_with_tools()?)
            // Those of xtask's own toolchain would be taken before the nightly ones.
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .env_remove("RUSTFLAGS");
        step.run(&mut command)?;
        Ok(Done::Ran)
    })
}
