//! Programs and folders that the scenarios need, as the environment names them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Child;

/// The built `lpfl`.
pub fn lpfl() -> PathBuf {
    program("LPFL_BIN")
}

/// Chromium or Chrome.
pub fn chrome() -> PathBuf {
    program("CHROME")
}

/// Its driver.
pub fn chromedriver() -> PathBuf {
    program("CHROMEDRIVER")
}

/// Firefox.
pub fn firefox() -> PathBuf {
    program("FIREFOX")
}

/// Its driver.
pub fn geckodriver() -> PathBuf {
    program("GECKODRIVER")
}

fn program(variable: &str) -> PathBuf {
    let path = env::var_os(variable).map(PathBuf::from);
    let path = path.unwrap_or_else(|| {
        panic!("{variable} is not set; run `cargo xtask test --only end-to-end`, which sets it")
    });
    assert!(
        path.is_file(),
        "{variable} names {}, which is no file",
        path.display()
    );
    path
}

/// Where scenarios leave what is worth a look.
pub fn output() -> PathBuf {
    // The program lies at <target>/<profile>/deps/e2e-….
    let program = env::current_exe().unwrap();
    let target = program.ancestors().nth(3).map(Path::to_owned);
    target.unwrap().join("e2e")
}

/// A program that ends with the scenario, also when that fails.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Ends it as a crash would: with SIGKILL, so that it can store nothing more.
    pub fn kill(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
