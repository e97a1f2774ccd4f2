//! Which version of a package Cargo.lock holds.

use std::fs;

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// The version of a package in the workspace's Cargo.lock.
pub fn locked(workspace: &Workspace, package: &str) -> Result<String> {
    let path = workspace.root.join("Cargo.lock");
    let lock = fs::read_to_string(&path).context("Cargo.lock is missing")?;
    find(&lock, package).with_context(|| format!("Cargo.lock names no package `{package}`"))
}

fn find(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next()?.strip_prefix("version = \"")?;
    Some(version.strip_suffix('"')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasm_bindgen_and_its_generator_are_one_version() {
        let lock = include_str!("../../Cargo.lock");
        let generator = find(lock, "wasm-bindgen-cli-support");
        assert!(generator.is_some(), "the generator is not in Cargo.lock");
        // Another crate's looser requirement could bring in a second copy.
        let copies = lock
            .lines()
            .filter(|line| *line == "name = \"wasm-bindgen\"")
            .count();
        assert_eq!(copies, 1);
        assert_eq!(find(lock, "wasm-bindgen"), generator);
    }
}
