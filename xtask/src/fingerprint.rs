//! Whether a step's inputs and outputs are what they were when it last ended well.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::Done;
use crate::workspace::Workspace;

/// Gathers what a step depends on.
///
/// Contents count, not times: a checkout of another branch and back costs nothing. The hasher may
/// change with the compiler's version; then a step runs once more.
#[derive(Default)]
pub struct Inputs {
    hasher: DefaultHasher,
}

impl Inputs {
    /// Adds a text, such as a version or a flag.
    pub fn text(mut self, text: &str) -> Self {
        text.hash(&mut self.hasher);
        self
    }

    /// Adds a file.
    pub fn file(mut self, path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("{} is missing", path.display()))?;
        bytes.hash(&mut self.hasher);
        Ok(self)
    }

    /// Adds the files below a folder whose path, seen from it, is taken by `takes`.
    ///
    /// A folder that is not taken is not entered.
    pub fn tree(mut self, folder: &Path, takes: impl Fn(&Path) -> bool) -> Result<Self> {
        for path in files_below(folder, &takes)? {
            path.strip_prefix(folder)
                .unwrap_or(&path)
                .hash(&mut self.hasher);
            self = self.file(&path)?;
        }
        Ok(self)
    }

    fn digest(self) -> u64 {
        self.hasher.finish()
    }
}

/// Every file below `folder` that is taken, in an order that does not depend on the disk.
pub fn files_below(folder: &Path, takes: &impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(current) = folders.pop() {
        let entries = fs::read_dir(&current)
            .with_context(|| format!("{} cannot be listed", current.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if !takes(path.strip_prefix(folder).unwrap_or(&path)) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Does `work` unless it ended well before with these inputs and its outputs are untouched.
pub fn unless_unchanged(
    workspace: &Workspace,
    name: &str,
    inputs: Inputs,
    outputs: &[PathBuf],
    work: impl FnOnce() -> Result<Done>,
) -> Result<Done> {
    let note = workspace.notes().join("fingerprints").join(name);
    let inputs = inputs.digest();
    let recorded = fs::read_to_string(&note).ok();
    // Outputs that are missing cannot be read: then there is work to do.
    let present = digest_outputs(outputs).ok();
    if present.is_some() && recorded == present.map(|outputs| record(inputs, outputs)) {
        return Ok(Done::Unchanged);
    }
    // An interruption must not leave the old record beside half-made outputs.
    let _ = fs::remove_file(&note);
    let done = work()?;
    if let Some(folder) = note.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(&note, record(inputs, digest_outputs(outputs)?))
        .with_context(|| format!("{} could not be written", note.display()))?;
    Ok(done)
}

fn record(inputs: u64, outputs: u64) -> String {
    format!("{inputs:016x} {outputs:016x}\n")
}

fn digest_outputs(outputs: &[PathBuf]) -> Result<u64> {
    let mut all = Inputs::default();
    for output in outputs {
        all = if output.is_dir() {
            all.tree(output, |_| true)?
        } else {
            all.file(output)?
        };
    }
    Ok(all.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace in an empty folder of its own.
    fn workspace(name: &str) -> Workspace {
        let root = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("in")).unwrap();
        let target = root.join("target");
        Workspace { root, target }
    }

    /// Runs a step that copies `in/a` to `out`; whether it had work to do.
    fn copies(workspace: &Workspace) -> bool {
        let output = workspace.root.join("out");
        let folder = workspace.root.join("in");
        let inputs = Inputs::default().tree(&folder, |path| path != Path::new("no"));
        let done = unless_unchanged(
            workspace,
            "copy",
            inputs.unwrap(),
            std::slice::from_ref(&output),
            || {
                fs::copy(folder.join("a"), &output)?;
                Ok(Done::Ran)
            },
        );
        matches!(done, Ok(Done::Ran))
    }

    #[test]
    fn step_runs_when_inputs_or_outputs_change() {
        let workspace = workspace("fingerprint");
        fs::write(workspace.root.join("in/a"), "1").unwrap();
        assert!(copies(&workspace), "first run");
        assert!(!copies(&workspace), "nothing changed");
        fs::write(workspace.root.join("in/no"), "left out").unwrap();
        assert!(!copies(&workspace), "an input that is not taken");
        fs::write(workspace.root.join("in/a"), "2").unwrap();
        assert!(copies(&workspace), "changed input");
        fs::write(workspace.root.join("out"), "spoilt").unwrap();
        assert!(copies(&workspace), "spoilt output");
        fs::remove_file(workspace.root.join("out")).unwrap();
        assert!(copies(&workspace), "missing output");
        assert!(!copies(&workspace), "nothing changed again");
        fs::remove_dir_all(&workspace.root).unwrap();
    }

    #[test]
    fn failed_step_runs_again() {
        let workspace = workspace("failure");
        fs::write(workspace.root.join("in/b"), "1").unwrap();
        assert!(!copies(&workspace), "there is no `a` to copy");
        fs::write(workspace.root.join("in/a"), "1").unwrap();
        assert!(copies(&workspace));
        fs::remove_dir_all(&workspace.root).unwrap();
    }
}
