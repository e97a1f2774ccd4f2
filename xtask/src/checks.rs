//! `cargo xtask test`: every check, the cheapest first.

use std::process::Command;

use anyhow::{Context, Result};

use crate::arguments::{Form, Selection};
use crate::report::{Done, Output, Report};
use crate::tools::{self, Browsers};
use crate::workspace::{self, Workspace};
use crate::{api, binary, chaos, interop, page, speed, wasm};

/// One step of the tests.
struct Check {
    name: &'static str,
    work: Work,
    /// What a person can do when it fails.
    mend: &'static str,
}

enum Work {
    /// Cargo with these arguments.
    Cargo(&'static [&'static str]),
    /// The same for the browser.
    CargoWasm(&'static [&'static str]),
    /// A step of the build, which reports by itself.
    Build(fn(&Workspace, &mut Report) -> Result<()>),
    /// `npm test` in the page's folder.
    Page,
    /// A program that drives browsers.
    Browsers(fn(&Workspace, &Browsers) -> Result<Command>),
}

/// All checks in the order in which they run; the names are those of `--only` and `--skip`.
const CHECKS: [Check; 20] = [
    Check {
        name: "format",
        work: Work::Cargo(&["fmt", "--all", "--check"]),
        mend: "run `cargo fmt --all`",
    },
    Check {
        name: "clippy",
        work: Work::Cargo(&["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"]),
        mend: "mend what clippy names",
    },
    Check {
        name: "clippy-wasm",
        work: Work::CargoWasm(&[
            "clippy",
            "--package=client-wasm",
            "--package=browser-bench",
            "--package=simd-peak",
            "--all-targets",
            "--",
            "-Dwarnings",
        ]),
        mend: "mend what clippy names",
    },
    Check {
        name: "nats-server",
        work: Work::Build(nats_server),
        mend: "",
    },
    Check {
        name: "native",
        // Tests that need browsers, the built binary or an optimised build are `#[ignore]`d; later
        // steps run them.
        work: Work::Cargo(&["test", "--workspace", "--no-fail-fast"]),
        mend: "mend what the failed tests name",
    },
    Check {
        name: "protocol",
        // Ten thousand clients on a virtual clock, which only an optimised build does in time.
        work: Work::Cargo(&[
            "test",
            "--release",
            "--package=fl-core",
            "--test=federation",
            "--",
            "--ignored",
            "--nocapture",
        ]),
        mend: "mend what the failed test names",
    },
    Check {
        name: "interop",
        work: Work::Build(interop::run),
        mend: "",
    },
    Check {
        name: "openapi",
        work: Work::Build(api::run),
        mend: "",
    },
    Check {
        name: "packages",
        work: Work::Build(page::install),
        mend: "",
    },
    Check {
        name: "declarations",
        work: Work::Build(page::declare),
        mend: "",
    },
    Check {
        name: "wasm",
        work: Work::Build(wasm::build),
        mend: "",
    },
    Check {
        name: "page-tests",
        work: Work::Page,
        mend: "mend what the failed tests name",
    },
    Check {
        name: "page",
        work: Work::Build(page::build),
        mend: "",
    },
    Check {
        name: "binary",
        work: Work::Build(|workspace, report| binary::build(workspace, report).map(drop)),
        mend: "",
    },
    Check {
        name: "chaos",
        work: Work::Build(|workspace, report| chaos::run(workspace, report, Form::Short, None)),
        mend: "",
    },
    Check {
        name: "wasm-chrome",
        work: Work::Browsers(client_tests_in_chrome),
        mend: "mend what the failed tests name; client-wasm/webdriver.json holds Chrome's flags",
    },
    Check {
        name: "wasm-firefox",
        work: Work::Browsers(client_tests_in_firefox),
        mend: "mend what the failed tests name; client-wasm/webdriver.json holds Firefox's flags",
    },
    Check {
        name: "end-to-end",
        work: Work::Browsers(end_to_end_tests),
        mend: "mend what the failed tests name",
    },
    Check {
        name: "bench-wasm",
        work: Work::Build(speed::modules),
        mend: "",
    },
    Check {
        name: "speed",
        work: Work::Browsers(speed::guard),
        mend: "make training in a tab as fast as it was, or leave the step out with --skip speed",
    },
];

/// Seconds that a browser may take for one file of tests: a machine may have two slow cores.
const CLIENT_TEST_SECONDS: &str = "300";

/// The names of all checks.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.name)
}

/// Runs the selected checks; stops at the first that fails.
pub fn run(workspace: &Workspace, report: &mut Report, selection: &Selection) -> Result<()> {
    let checks: Vec<_> = CHECKS
        .iter()
        .filter(|check| selection.takes(check.name))
        .collect();

    page::check_node(workspace)?;
    // Before the long steps, so that nobody waits an hour to hear that a browser is missing.
    let browsers = if checks.iter().any(|check| check.work.needs_browsers()) {
        Some(find_browsers(report)?)
    } else {
        None
    };
    let mut tools_are_there = false;
    for check in checks {
        if check.work.needs_browsers() && !tools_are_there {
            install_tools(workspace, report)?;
            tools_are_there = true;
        }
        run_one(workspace, report, check, browsers.as_ref())?;
    }
    Ok(())
}

impl Work {
    fn needs_browsers(&self) -> bool {
        matches!(self, Self::Browsers(_))
    }
}

fn find_browsers(report: &mut Report) -> Result<Browsers> {
    let mut found = None;
    let mend = "or leave out the steps that need browsers with --skip";
    report.step("browsers", Output::Folded, mend, |step| {
        found = Some(tools::browsers(step)?);
        Ok(Done::Ran)
    })?;
    found.context("no browsers were found")
}

fn install_tools(workspace: &Workspace, report: &mut Report) -> Result<()> {
    let mend = "check the network and try again";
    report.step("tools", Output::Folded, mend, |step| {
        tools::install(workspace, step)
    })
}

fn nats_server(_: &Workspace, report: &mut Report) -> Result<()> {
    let mend = "check the network and try again, or leave the step out with --skip nats-server";
    report.step("nats-server", Output::Folded, mend, tools::nats_server)
}

fn run_one(
    workspace: &Workspace,
    report: &mut Report,
    check: &Check,
    browsers: Option<&Browsers>,
) -> Result<()> {
    let mut command = match check.work {
        Work::Build(build) => return build(workspace, report),
        Work::Cargo(arguments) => workspace.cargo(arguments),
        Work::CargoWasm(arguments) => workspace.cargo_wasm(arguments),
        Work::Page => workspace.npm(&["test"]),
        Work::Browsers(make) => make(workspace, browsers.context("no browsers were found")?)?,
    };
    report.step(check.name, Output::Shown, check.mend, |step| {
        step.run(&mut command)?;
        Ok(Done::Ran)
    })
}

fn client_tests_in_chrome(workspace: &Workspace, browsers: &Browsers) -> Result<Command> {
    let mut command = client_tests(workspace)?;
    command
        .args(["--chrome", "--chromedriver"])
        .arg(&browsers.chromedriver);
    Ok(command)
}

fn client_tests_in_firefox(workspace: &Workspace, _: &Browsers) -> Result<Command> {
    let mut command = client_tests(workspace)?;
    command
        .args(["--firefox", "--geckodriver"])
        .arg(tools::geckodriver()?);
    Ok(command)
}

/// `wasm-pack test` without a browser named yet.
///
/// In release, because the tests train. The test runner takes the drivers' flags from
/// `client-wasm/webdriver.json`; it adds `no-sandbox` to Chrome's in any case, so that flag stands
/// there for every user and not for root alone.
fn client_tests(workspace: &Workspace) -> Result<Command> {
    let mut command = Command::new(tools::wasm_pack()?);
    command
        .args(["test", "--headless", "--release", "--mode", "no-install"])
        .current_dir(workspace.client())
        .env("PATH", tools::path_with_tools()?)
        .env("CARGO_TARGET_DIR", &workspace.target)
        .env("WASM_BINDGEN_TEST_TIMEOUT", CLIENT_TEST_SECONDS)
        // With both set, the test runner would take the first driver that it knows.
        .env_remove("CHROMEDRIVER")
        .env_remove("GECKODRIVER");
    workspace::keep_wasm_flags(&mut command);
    Ok(command)
}

/// The end-to-end tests, which are ignored else; they find everything they need in the environment.
///
/// One at a time, so that each has the machine, and with what they print, such as the figures of
/// the rounds. What trains in them is the built binary, so they need no release build themselves.
fn end_to_end_tests(workspace: &Workspace, browsers: &Browsers) -> Result<Command> {
    let mut command = workspace.cargo(&[
        "test",
        "--package=tests",
        "--test=e2e",
        "--no-fail-fast",
        "--",
        "--ignored",
        "--test-threads=1",
        "--nocapture",
    ]);
    command
        .env("PATH", tools::path_with_tools()?)
        .env("LPFL_BIN", workspace.binary())
        .env("CHROME", &browsers.chrome)
        .env("CHROMEDRIVER", &browsers.chromedriver)
        .env("FIREFOX", &browsers.firefox)
        .env("GECKODRIVER", tools::geckodriver()?);
    Ok(command)
}
