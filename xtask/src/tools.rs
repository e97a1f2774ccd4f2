//! What the tests need beyond Rust and Node.js: found, installed, or named.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::report::{Done, Step};
use crate::versions;
use crate::workspace::{Workspace, first_line};

const WASM_PACK: &str = "0.15.1";
const GECKODRIVER: &str = "0.37.1";
const CARGO_FUZZ: &str = "0.13.2";

/// A program that comes from the system: its names, its Debian package, and what else to install.
struct SystemProgram {
    variable: &'static str,
    names: &'static [&'static str],
    elsewhere: &'static [&'static str],
    debian: &'static str,
    macos: &'static str,
}

const CHROME: SystemProgram = SystemProgram {
    variable: "CHROME",
    names: &[
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
        "chrome",
    ],
    elsewhere: &[
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
    ],
    debian: "chromium",
    macos: "google-chrome",
};

const CHROMEDRIVER: SystemProgram = SystemProgram {
    variable: "CHROMEDRIVER",
    names: &["chromedriver"],
    elsewhere: &[],
    debian: "chromium-driver",
    macos: "chromedriver",
};

const FIREFOX: SystemProgram = SystemProgram {
    variable: "FIREFOX",
    names: &["firefox", "firefox-esr"],
    elsewhere: &[
        "/Applications/Firefox.app/Contents/MacOS/firefox",
        "C:\\Program Files\\Mozilla Firefox\\firefox.exe",
    ],
    debian: "firefox-esr",
    macos: "firefox",
};

const NATS_SERVER: SystemProgram = SystemProgram {
    variable: "NATS_SERVER",
    names: &["nats-server"],
    // Where Debian puts it, which not everybody has on the PATH.
    elsewhere: &["/usr/sbin/nats-server"],
    debian: "nats-server",
    macos: "nats-server",
};

/// The browsers and their drivers.
pub struct Browsers {
    /// Chromium or Chrome.
    pub chrome: PathBuf,
    /// Its driver.
    pub chromedriver: PathBuf,
    /// Firefox.
    pub firefox: PathBuf,
}

/// Finds the browsers; on Debian as root installs those that are missing.
pub fn browsers(step: &Step) -> Result<Browsers> {
    let all = [&CHROME, &CHROMEDRIVER, &FIREFOX];
    let missing: Vec<_> = all
        .into_iter()
        .filter(|program| find(program).is_none())
        .collect();
    if !missing.is_empty() {
        if !is_debian_root() {
            bail!("{}", missing_message(&missing));
        }
        install_packages(step, &missing)?;
    }
    let found = |program| find(program).with_context(|| missing_message(&[program]));
    Ok(Browsers {
        chrome: found(&CHROME)?,
        chromedriver: found(&CHROMEDRIVER)?,
        firefox: found(&FIREFOX)?,
    })
}

/// Finds the NATS server, which tests of several processes start; on Debian as root installs it.
/// Where it is missing, those tests say so and are skipped.
pub fn nats_server(step: &Step) -> Result<Done> {
    if find(&NATS_SERVER).is_some() {
        return Ok(Done::Unchanged);
    }
    if !is_debian_root() {
        let message = missing_message(&[&NATS_SERVER]);
        return Ok(Done::Skipped(format!("{message}; its tests are skipped")));
    }
    install_packages(step, &[&NATS_SERVER])?;
    Ok(Done::Ran)
}

/// Where the NATS server is, if it is.
pub fn nats_server_path() -> Option<PathBuf> {
    find(&NATS_SERVER)
}

fn install_packages(step: &Step, missing: &[&SystemProgram]) -> Result<()> {
    let packages = missing.iter().map(|program| program.debian);
    step.run(apt_get().arg("update"))?;
    step.run(apt_get().args(["install", "-y"]).args(packages))
}

/// The variable of the program's name if it is set, else the first of its names on the PATH.
fn find(program: &SystemProgram) -> Option<PathBuf> {
    if let Some(path) = env::var_os(program.variable).map(PathBuf::from) {
        return path.is_file().then_some(path);
    }
    let named = program.names.iter().find_map(|name| on_path(name));
    let elsewhere = || {
        program
            .elsewhere
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
    };
    named.or_else(elsewhere)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
}

fn missing_message(missing: &[&SystemProgram]) -> String {
    let list = |name: fn(&SystemProgram) -> &str| {
        let names: Vec<_> = missing.iter().map(|program| name(program)).collect();
        names.join(" ")
    };
    let names = list(|program| program.names[0]);
    let variables = list(|program| program.variable);
    let command = if cfg!(target_os = "macos") {
        format!("`brew install {}`", list(|program| program.macos))
    } else if on_path("apt-get").is_some() {
        format!("`sudo apt-get install {}`", list(|program| program.debian))
    } else {
        "your system's package manager".to_owned()
    };
    format!("missing: {names}; install with {command}, or set {variables} to where they are")
}

/// Debian itself: where other systems have packages of these names they may be mere pointers.
fn is_debian_root() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let debian = release.lines().any(|line| line == "ID=debian");
    let root = first_line(Command::new("id").arg("-u")).is_some_and(|user| user == "0");
    debian && root && on_path("apt-get").is_some()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// A program that cargo builds, at exactly one version.
struct CargoProgram {
    package: &'static str,
    program: &'static str,
    version: String,
}

/// Installs those of the WebAssembly test tools that are not there at the right version.
///
/// wasm-pack runs the tests with the wasm-bindgen-test-runner on its PATH, and only when that has
/// the version of the wasm-bindgen in Cargo.lock; so it never downloads one.
pub fn install(workspace: &Workspace, step: &Step) -> Result<Done> {
    let programs = [
        CargoProgram {
            package: "wasm-bindgen-cli",
            program: "wasm-bindgen-test-runner",
            version: versions::locked(workspace, "wasm-bindgen")?,
        },
        CargoProgram {
            package: "wasm-pack",
            program: "wasm-pack",
            version: WASM_PACK.to_owned(),
        },
        CargoProgram {
            package: "geckodriver",
            program: "geckodriver",
            version: GECKODRIVER.to_owned(),
        },
    ];
    install_missing(workspace, step, &programs)
}

/// Installs cargo-fuzz, unless it is there.
pub fn install_cargo_fuzz(workspace: &Workspace, step: &Step) -> Result<Done> {
    let program = CargoProgram {
        package: "cargo-fuzz",
        program: "cargo-fuzz",
        version: CARGO_FUZZ.to_owned(),
    };
    install_missing(workspace, step, &[program])
}

fn install_missing(workspace: &Workspace, step: &Step, programs: &[CargoProgram]) -> Result<Done> {
    let mut installed = Vec::new();
    for program in programs {
        if !is_present(program)? {
            install_one(workspace, step, program)?;
            installed.push(format!("{} {}", program.package, program.version));
        }
    }
    if installed.is_empty() {
        return Ok(Done::Unchanged);
    }
    Ok(Done::RanWith(installed.join(", ")))
}

fn is_present(program: &CargoProgram) -> Result<bool> {
    // The folder of tools comes first on the tests' PATH: a wrong version there counts.
    let Ok(path) = installed(program.program) else {
        return Ok(false);
    };
    let line = first_line(Command::new(path).arg("--version")).unwrap_or_default();
    Ok(line.split_whitespace().nth(1) == Some(&program.version))
}

fn install_one(workspace: &Workspace, step: &Step, program: &CargoProgram) -> Result<()> {
    let mut install = workspace.cargo(&["install", program.package, "--version"]);
    install
        .arg(format!("={}", program.version))
        .arg("--root")
        .arg(folder()?)
        // A build folder of its own, removed by cargo; the workspace's stays as it is.
        .env_remove("CARGO_TARGET_DIR");
    step.run(&mut install)
}

/// The user's folder of tools, shared by all checkouts.
fn folder() -> Result<PathBuf> {
    let home = || {
        env::var_os("HOME")
            .or_else(|| env::var_os("USERPROFILE"))
            .map(|home| Path::new(&home).join(".cache"))
    };
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(home)
        .context("neither XDG_CACHE_HOME nor HOME is set; set one of them")?;
    Ok(cache.join("lpfl").join("tools"))
}

/// The PATH with the folder of tools first.
pub fn path_with_tools() -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder()?.join("bin")).chain(env::split_paths(&path));
    env::join_paths(folders).context("the folder of tools cannot stand in PATH")
}

/// Where geckodriver is, once [`install`] has seen to it.
pub fn geckodriver() -> Result<PathBuf> {
    installed("geckodriver")
}

/// Where wasm-pack is, once [`install`] has seen to it.
pub fn wasm_pack() -> Result<PathBuf> {
    installed("wasm-pack")
}

/// A program in the folder of tools, or else on the PATH.
fn installed(program: &str) -> Result<PathBuf> {
    let name = format!("{program}{}", env::consts::EXE_SUFFIX);
    let cached = Some(folder()?.join("bin").join(name)).filter(|path| path.is_file());
    cached
        .or_else(|| on_path(program))
        .with_context(|| format!("{program} was not found where cargo installs it"))
}
