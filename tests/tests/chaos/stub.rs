//! Clients of a room: `lpfl join --stub` in a process of its own, and what it printed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fl_core::adapter::AdapterHash;
use fl_core::protocol::ClientId;
use serde::Deserialize;
use serde_json::Value;

use super::plan::Crowd;
use super::{LOOK, programs, server};

/// A process of stubs.
pub struct Stub {
    pub name: String,
    clients: u32,
    output: PathBuf,
    errors: PathBuf,
    process: RefCell<Child>,
}

/// A line of `--trace`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    Place {
        number: u32,
        client: ClientId,
        completed: u32,
    },
    Adapter {
        round: u32,
        hash: AdapterHash,
    },
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Stub {
    /// Joins the room; output goes to the folder.
    pub fn join(url: &str, room: &str, folder: &Path, name: String, crowd: Crowd) -> Self {
        let output = folder.join(format!("{name}.jsonl"));
        let errors = folder.join(format!("{name}.log"));
        let mut command = programs::lpfl();
        command
            .args(["join", url, "--room", room, "--stub", "--json", "--trace"])
            .args(["--name", &name, "--clients", &crowd.clients.to_string()])
            .args(["--seed", &crowd.seed.to_string()]);
        if let Some(misdeeds) = crowd.misdeeds {
            command.args(["--misbehave", misdeeds]);
        }
        command
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&errors).unwrap());
        Self {
            name,
            clients: crowd.clients,
            output,
            errors,
            process: RefCell::new(command.spawn().unwrap()),
        }
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) {
        let mut process = self.process.borrow_mut();
        // Both fail only where it has ended already.
        let _ = process.kill();
        let _ = process.wait();
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&self, name: &str) {
        let mut process = self.process.borrow_mut();
        if process.try_wait().unwrap().is_none() {
            server::signal(&process, name);
        }
    }

    /// The process's id, for signals from other threads.
    pub fn id(&self) -> u32 {
        self.process.borrow().id()
    }

    /// What its clients were told so far; the last line may be half written.
    pub fn told(&self) -> Vec<Told> {
        let text = fs::read_to_string(&self.output).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        lines.filter_map(Result::ok).collect()
    }

    /// Waits until it ends by itself, and that well: every client on this adapter. Gives back its
    /// report.
    pub fn finished(&self, patience: Duration, adapter: AdapterHash) -> Value {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.process.borrow_mut().try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < patience, "{} does not end", self.name);
            sleep(LOOK);
        };
        let errors = fs::read_to_string(&self.errors).unwrap();
        assert!(
            status.success(),
            "{} ended with {status}: {errors}",
            self.name
        );
        let text = fs::read_to_string(&self.output).unwrap();
        let report: Value = serde_json::from_str(text.lines().next_back().unwrap()).unwrap();
        assert_eq!(report["finished"], self.clients, "{}: {report}", self.name);
        assert_eq!(report["adapter"], adapter.to_string(), "{}", self.name);
        report
    }
}

/// What the processes that stayed did and were told, in sum.
#[derive(Default)]
pub struct Tally {
    reconnections: u64,
    reports: u64,
    updates: u64,
    misdeeds: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
}

impl Tally {
    pub fn add(&mut self, report: &Value) {
        let count = |name: &str| report[name].as_u64().unwrap();
        self.reconnections += count("reconnects");
        self.reports += count("reports");
        self.updates += count("updates");
        let groups = report["misbehaving"].as_object().unwrap();
        for (misdeed, group) in groups {
            let misdeeds = group["misdeeds"].as_u64().unwrap();
            *self.misdeeds.entry(misdeed.clone()).or_default() += misdeeds;
        }
        for group in groups.values().chain([&report["well_behaved"]]) {
            for (fault, count) in group["faults"].as_object().unwrap() {
                *self.faults.entry(fault.clone()).or_default() += count.as_u64().unwrap();
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "they opened {} more connections and sent {} reports, of which {} were answered as good; \
             misdeeds {:?}; faults {:?}",
            self.reconnections, self.reports, self.updates, self.misdeeds, self.faults
        )
    }
}
