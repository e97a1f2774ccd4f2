//! `--trace`: what the stubs of a process are told, printed at once, so that a killed process has said it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use fl_core::adapter::AdapterHash;
use fl_core::protocol::{ClientId, RoundOutcome, RoundRecord, Welcome};
use serde::Serialize;

/// Prints lines, or nothing; each line once.
#[derive(Debug)]
pub struct Trace(Option<Mutex<BTreeSet<Told>>>);

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "told", rename_all = "snake_case")]
enum Told {
    /// The stub of this number got this place when so many rounds were completed.
    Place {
        number: u32,
        client: ClientId,
        completed: u32,
    },
    /// A client was told that this round made this adapter; round 0 is where the room begins.
    Adapter { round: u32, hash: AdapterHash },
}

impl Trace {
    /// Prints, if `is_wanted`.
    pub fn new(is_wanted: bool) -> Self {
        Self(is_wanted.then(Mutex::default))
    }

    /// A stub was welcomed.
    pub fn welcomed(&self, number: u32, welcome: &Welcome) {
        let is_completed = |record: &&RoundRecord| completed(record).is_some();
        let newest = welcome.history.iter().rfind(is_completed);
        self.print(Told::Place {
            number,
            client: welcome.client,
            completed: newest.map_or(0, |record| record.round),
        });
        welcome.history.iter().for_each(|record| self.round(record));
    }

    /// A stub was told how a round ended.
    pub fn round(&self, record: &RoundRecord) {
        if let Some(hash) = completed(record) {
            self.adapter(record.round, hash);
        }
    }

    /// A stub was given the adapter of a round.
    pub fn adapter(&self, round: u32, hash: AdapterHash) {
        self.print(Told::Adapter { round, hash });
    }

    fn print(&self, told: Told) {
        let Some(before) = &self.0 else { return };
        let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
        if before.insert(told) {
            // Numbers and a text alone: they are always JSON.
            println!("{}", serde_json::to_string(&told).unwrap_or_default());
        }
    }
}

fn completed(record: &RoundRecord) -> Option<AdapterHash> {
    match record.outcome {
        RoundOutcome::Completed { hash } => Some(hash),
        RoundOutcome::Abandoned { .. } => None,
    }
}
