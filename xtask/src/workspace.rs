//! Where things lie in the checkout, and how programs are started in it.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The checkout and its build folder.
pub struct Workspace {
    /// The folder of the workspace's Cargo.toml.
    pub root: PathBuf,
    /// Cargo's build folder, wherever the user's settings put it.
    pub target: PathBuf,
}

impl Workspace {
    /// Finds the checkout that this program was built from.
    pub fn locate() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .parent()
            .context("the xtask folder lies in no workspace")?
            .to_owned();
        // Cargo put this program at <target>/tool/xtask.
        let program = env::current_exe().context("the path of xtask itself is unknown")?;
        let target = program
            .ancestors()
            .nth(2)
            .context("xtask does not lie in a build folder; start it as `cargo xtask`")?
            .to_owned();
        Ok(Self { root, target })
    }

    /// The page's folder.
    pub fn page(&self) -> PathBuf {
        self.root.join("www")
    }

    /// The browser client's folder.
    pub fn client(&self) -> PathBuf {
        self.root.join("client-wasm")
    }

    /// The browser client as the page imports it.
    pub fn client_package(&self) -> PathBuf {
        self.client().join("pkg")
    }

    /// What xtask itself keeps: fingerprints and logs.
    pub fn notes(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// Keeps every other xtask of this checkout waiting until the file is dropped: the steps write
    /// to the same folders.
    pub fn claim(&self) -> Result<File> {
        fs::create_dir_all(self.notes())
            .with_context(|| format!("{} could not be made", self.notes().display()))?;
        let path = self.notes().join("lock");
        let cause = || format!("{} could not be locked", path.display());
        let file = File::create(&path).with_context(cause)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another `cargo xtask` in this checkout");
                file.lock().with_context(cause)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cause),
        }
        Ok(file)
    }

    /// The built server.
    pub fn binary(&self) -> PathBuf {
        self.target
            .join("release")
            .join(format!("lpfl{}", env::consts::EXE_SUFFIX))
    }

    /// `cargo` with these arguments, at the root.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(arguments)
            .current_dir(&self.root)
            // The target folder was found from where xtask lies; both must agree.
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// [`Self::cargo`] for the browser: the flags in `.cargo/config.toml` hold.
    pub fn cargo_wasm(&self, arguments: &[&str]) -> Command {
        let mut command = self.cargo(arguments);
        command.env("CARGO_BUILD_TARGET", "wasm32-unknown-unknown");
        keep_wasm_flags(&mut command);
        command
    }

    /// `npm` with these arguments, in the page's folder.
    pub fn npm(&self, arguments: &[&str]) -> Command {
        let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.page());
        command
    }

    /// `node` running a script with these arguments, in the page's folder.
    pub fn node(&self, script: &Path) -> Command {
        let mut command = Command::new("node");
        command.arg(script).current_dir(self.page());
        command
    }
}

/// Keeps the user's flags for this machine from replacing those that the browser's code needs.
pub fn keep_wasm_flags(command: &mut Command) {
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
        command.env_remove(variable);
    }
}

/// The first line that a program prints, or `None` where it is missing or fails.
pub fn first_line(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|out| out.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next()?.trim().to_owned())
}
