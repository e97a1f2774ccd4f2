//! A headless browser with the page in its one tab.

use std::cell::Cell;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::site::{Roots, Site};

/// How long one order may take: a model of 90 MB is loaded on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where Chromium keeps quiet, and runs as root and in containers too: what it opens is its own
/// page only.
const CHROME_FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--disable-quic",
];

/// The same for Firefox.
const FIREFOX_PREFERENCES: &str = r#"user_pref("app.update.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.max_script_run_time", 0);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
"#;

/// Which browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chromium or Chrome.
    Chromium,
    /// Firefox.
    Firefox,
}

/// The page in a browser, obeying one order at a time.
pub struct Tab {
    site: Site,
    browser: Child,
    number: Cell<u64>,
    _profile: TempDir,
}

impl Kind {
    /// As it is printed.
    pub fn text(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
        }
    }

    /// The variable that names the program, and the name that is tried without it.
    fn program(self) -> OsString {
        let (variable, name) = match self {
            Self::Chromium => ("CHROME", "chromium"),
            Self::Firefox => ("FIREFOX", "firefox"),
        };
        env::var_os(variable).unwrap_or_else(|| name.into())
    }

    fn command(self, profile: &Path) -> Result<Command> {
        let mut command = Command::new(self.program());
        match self {
            Self::Chromium => {
                let mut folder = OsString::from("--user-data-dir=");
                folder.push(profile);
                command.args(CHROME_FLAGS).arg(folder);
            }
            Self::Firefox => {
                fs::write(profile.join("user.js"), FIREFOX_PREFERENCES)?;
                command.args(["--headless", "--no-remote", "--profile"]);
                command.arg(profile);
            }
        }
        Ok(command)
    }
}

impl Tab {
    /// Starts a browser with an empty profile on the page.
    ///
    /// # Errors
    /// A browser that cannot be started.
    pub fn start(kind: Kind, roots: Roots) -> Result<Self> {
        let site = Site::start(roots)?;
        let profile = tempfile::tempdir()?;
        let browser = kind
            .command(profile.path())?
            .arg(site.address())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| {
                let program = kind.program();
                format!("the browser {} could not be started", program.display())
            })?;
        Ok(Self {
            site,
            browser,
            number: Cell::new(0),
            _profile: profile,
        })
    }

    /// What the page answers to an order.
    ///
    /// # Errors
    /// What failed in the page, in its words; a browser that has ended; none of it in time.
    pub fn call(&mut self, mut order: Value) -> Result<Value> {
        let number = self.number.replace(self.number.get() + 1);
        order["number"] = json!(number);
        self.site.order(&order)?;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let Some(mut answer) = self.site.answer(Duration::from_secs(1))? else {
                if let Some(status) = self.browser.try_wait()? {
                    bail!("the browser ended with {status}");
                }
                continue;
            };
            if answer["number"] != json!(number) {
                continue;
            }
            if let Some(error) = answer["error"].as_str() {
                bail!("{error}");
            }
            return Ok(answer["result"].take());
        }
        bail!("the page did not answer to {order} in {PATIENCE:?}")
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        // Nothing can be done about a browser that does not end.
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}
