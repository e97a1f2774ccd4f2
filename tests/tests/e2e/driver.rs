//! WebDriver programs: started on free ports, ended with the scenario.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use thirtyfour::{Capabilities, WebDriver};

use crate::programs::{self, Running};
use crate::wait::until;

/// How long one command may take; a page that loads on a busy machine takes its time.
const COMMAND: Duration = Duration::from_secs(120);

/// The browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chromium or Chrome.
    Chromium,
    /// Firefox.
    Firefox,
}

impl Kind {
    fn command(self, port: u16) -> Command {
        match self {
            Self::Chromium => {
                let mut command = Command::new(programs::chromedriver());
                command.arg(format!("--port={port}"));
                command
            }
            Self::Firefox => {
                let mut command = Command::new(programs::geckodriver());
                command.arg(format!("--port={port}"));
                // Its default is one fixed port for all.
                command.arg(format!("--websocket-port={}", free_port()));
                command
            }
        }
    }

    /// The least that a browser needs to run without a screen; all else is as users have it.
    fn capabilities(self) -> Capabilities {
        let capabilities = match self {
            Self::Chromium => json!({
                "browserName": "chrome",
                "goog:chromeOptions": {
                    "binary": programs::chrome(),
                    "args": [
                        "--headless=new", "--no-sandbox", "--disable-gpu",
                        "--disable-dev-shm-usage", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update",
                        "--disable-sync", "--disable-quic", "--window-size=1280,900",
                    ],
                },
            }),
            Self::Firefox => json!({
                "browserName": "firefox",
                "moz:firefoxOptions": {
                    "binary": programs::firefox(),
                    "args": ["-headless", "-width", "1280", "-height", "900"],
                },
            }),
        };
        serde_json::from_value(capabilities).unwrap()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromedriver",
            Self::Firefox => "geckodriver",
        }
    }
}

/// A driver with one session: a browser with an empty profile.
pub struct Driver {
    /// The session.
    pub session: WebDriver,
    // After the session: it ends first.
    _process: Running,
}

impl Driver {
    /// Starts driver and browser; the driver's words go to the folder.
    pub async fn start(kind: Kind, folder: &Path) -> Self {
        let port = free_port();
        let log = File::create(log_path(kind, folder)).unwrap();
        let child = kind
            .command(port)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let process = Running(child);
        let url = format!("http://127.0.0.1:{port}");
        until("the driver to listen", async || {
            let status = ureq::get(format!("{url}/status")).call();
            status.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let session = WebDriver::builder(&url, kind.capabilities())
            .request_timeout(COMMAND)
            .connect()
            .await
            .unwrap();
        Self {
            session,
            _process: process,
        }
    }

    /// Ends the browser, then the driver.
    pub async fn quit(self) {
        // A browser that does not answer any more ends with its driver.
        let _ = self.session.clone().quit().await;
    }
}

fn log_path(kind: Kind, folder: &Path) -> PathBuf {
    folder.join(format!("{}.log", kind.name()))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
