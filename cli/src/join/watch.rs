//! What people see of native clients, and when each of them is over.

use std::collections::BTreeSet;

use client_wasm::messages::{Connection, Event, Join};
use fl_core::protocol::{PhaseView, Progress, RoomView, RoundOutcome, RoundRecord, Stage};
use serde::Serialize;

/// Connections that fail one after the other before a server counts as not there.
const FIRST_TRIES: u32 = 5;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How a client ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The room finished, and the client has its last adapter.
    Finished,
    /// The person left.
    Left,
    /// Why it had to stop.
    Stopped(String),
}

#[derive(Debug, Default)]
struct Seen {
    name: String,
    origin: String,
    is_welcomed: bool,
    failures: u32,
    /// Rounds of the room, when it has finished.
    completed: Option<u32>,
    adopted: Option<u32>,
    working: Option<(u32, Stage)>,
    end: Option<End>,
}

/// Watches all clients of a process.
#[derive(Debug)]
pub struct Watcher {
    format: Format,
    clients: Vec<Seen>,
    /// What every client hears is told once.
    told: BTreeSet<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    client: usize,
    #[serde(flatten)]
    event: &'a Event,
}

impl Watcher {
    /// Nothing has been seen of these clients yet.
    pub fn new(joins: &[Join], format: Format) -> Self {
        let seen = |join: &Join| Seen {
            name: join.name.clone(),
            origin: join.origin.clone(),
            ..Seen::default()
        };
        Self {
            format,
            clients: joins.iter().map(seen).collect(),
            told: BTreeSet::new(),
        }
    }

    /// A client told something: writes it and remembers what matters.
    pub fn see(&mut self, index: usize, event: &Event) {
        match self.format {
            Format::Json => {
                let client = index + 1;
                // Every event is made to be JSON.
                if let Ok(line) = serde_json::to_string(&Line { client, event }) {
                    println!("{line}");
                }
            }
            Format::Text => {
                if let Some(line) = self.line(index, event) {
                    println!("{line}");
                }
            }
        }
        self.note(index, event);
    }

    /// Whether the client with this number is done.
    pub fn is_over(&self, index: usize) -> bool {
        self.clients[index].end.is_some()
    }

    /// How it went for all of them.
    ///
    /// # Errors
    /// Why the first one stopped that had to, and how many had to.
    pub fn verdict(&self) -> Result<(), String> {
        let broken = "it broke off without a word".to_owned();
        let failed: Vec<String> = self
            .clients
            .iter()
            .filter_map(|client| match &client.end {
                Some(End::Finished | End::Left) => None,
                Some(End::Stopped(reason)) => Some(reason.clone()),
                None => Some(broken.clone()),
            })
            .collect();
        match (failed.first(), self.clients.len()) {
            (None, _) => Ok(()),
            (Some(reason), 1) => Err(reason.clone()),
            (Some(reason), all) => Err(format!("{} of {all} clients: {reason}", failed.len())),
        }
    }

    fn note(&mut self, index: usize, event: &Event) {
        let client = &mut self.clients[index];
        match event {
            Event::Welcomed(_) => client.is_welcomed = true,
            Event::Connection(Connection::Waiting { .. }) if !client.is_welcomed => {
                client.failures += 1;
                if client.failures == FIRST_TRIES {
                    let origin = &client.origin;
                    let reason = format!("{origin} cannot be reached; is a server running there?");
                    client.end = Some(End::Stopped(reason));
                }
            }
            Event::Room(RoomView {
                phase: PhaseView::Finished,
                completed,
                ..
            }) => {
                client.completed = Some(*completed);
            }
            Event::Adopted { round, .. } => client.adopted = Some(*round),
            Event::Stopped { fault } => {
                client.end = Some(match fault {
                    Some(fault) => End::Stopped(fault.to_string()),
                    None => End::Left,
                });
            }
            _ => {}
        }
        let has_last = client
            .completed
            .is_some_and(|completed| client.adopted >= Some(completed));
        if has_last && client.end.is_none() {
            client.end = Some(End::Finished);
        }
    }

    fn line(&mut self, index: usize, event: &Event) -> Option<String> {
        let client = &mut self.clients[index];
        let name = client.name.clone();
        match event {
            Event::Connection(Connection::Waiting { retry_ms }) => {
                let seconds = f64::from(*retry_ms) / 1000.0;
                Some(format!("{name}: no connection; next try in {seconds:.1} s"))
            }
            Event::Welcomed(welcome) => {
                let (title, room) = (&welcome.settings.title, &welcome.room);
                let recorded = match welcome.recorded {
                    true => "; the server keeps each update as it is",
                    false => "",
                };
                Some(format!("{name}: in room {room}, “{title}”{recorded}"))
            }
            Event::Texts {
                gold_by_label,
                unlabelled,
                skipped,
            } => {
                let gold: u32 = gold_by_label.iter().sum();
                let mut line = format!("{name}: {gold} labelled and {unlabelled} unlabelled texts");
                for row in skipped {
                    line.push_str(&format!("\n  left out: {row}"));
                }
                Some(line)
            }
            Event::Progress(Progress { round, stage, .. }) => {
                let now = Some((*round, *stage));
                let is_new = std::mem::replace(&mut client.working, now) != now;
                let doing = match stage {
                    Stage::Labelling => "labels texts",
                    Stage::Training => "trains",
                };
                is_new.then(|| format!("{name}: round {round}: {doing}"))
            }
            Event::Fault(fault) => Some(format!("{name}: {fault}")),
            Event::Stopped { fault: None } => Some(format!("{name}: left the room")),
            Event::RoundEnded(record) => self.once(describe(record)),
            Event::Evaluated(evaluated) => {
                let (round, accuracy) = (evaluated.round, evaluated.accuracy * 100.0);
                let (f1, loss) = (evaluated.macro_f1, evaluated.loss);
                self.once(format!(
                    "after round {round}: accuracy {accuracy:.1} %, macro F1 {f1:.3}, loss {loss:.3}"
                ))
            }
            Event::Room(RoomView {
                phase: PhaseView::Finished,
                completed,
                ..
            }) => self.once(format!("the room has finished after {completed} rounds")),
            _ => None,
        }
    }

    fn once(&mut self, line: String) -> Option<String> {
        self.told.insert(line.clone()).then_some(line)
    }
}

fn describe(record: &RoundRecord) -> String {
    let (round, seconds) = (record.round, f64::from(record.duration_ms) / 1000.0);
    match &record.outcome {
        RoundOutcome::Completed { .. } => {
            let (updates, selected) = (record.participants.len(), record.selected);
            let loss = record
                .loss
                .map_or(String::new(), |loss| format!(", loss {loss:.3}"));
            format!("round {round}: {updates} of {selected} updates{loss}, {seconds:.1} s")
        }
        RoundOutcome::Abandoned { reason } => {
            let attempt = record.attempt;
            format!("round {round}, try {attempt}, came to nothing: {reason}")
        }
    }
}

#[cfg(test)]
mod tests {
    use fl_core::error::Fault;

    use super::*;

    fn watcher(count: usize) -> Watcher {
        let join = Join {
            origin: "http://a".into(),
            room: "R".into(),
            name: "Bot".into(),
            resume: None,
            texts: None,
            workers: 1,
        };
        Watcher::new(&vec![join; count], Format::Text)
    }

    fn finished(completed: u32) -> Event {
        Event::Room(RoomView {
            code: "R".into(),
            completed,
            phase: PhaseView::Finished,
            connected: 1,
            ready: 1,
            needed: 1,
            members: Vec::new(),
        })
    }

    fn adopted(round: u32) -> Event {
        let hash = String::new();
        Event::Adopted { round, hash }
    }

    #[test]
    fn a_client_is_over_when_it_has_the_last_adapter() {
        for order in [[adopted(3), finished(3)], [finished(3), adopted(3)]] {
            let mut watcher = watcher(1);
            watcher.see(0, &adopted(2));
            watcher.see(0, &order[0]);
            assert!(!watcher.is_over(0));
            watcher.see(0, &order[1]);
            assert!(watcher.is_over(0));
            assert_eq!(watcher.verdict(), Ok(()));
        }
    }

    #[test]
    fn a_refusal_is_the_verdict() {
        let mut watcher = watcher(2);
        let fault = Some(Fault::unknown_room("R"));
        watcher.see(0, &Event::Stopped { fault: None });
        watcher.see(1, &Event::Stopped { fault });
        let reason = watcher.verdict().unwrap_err();
        assert!(
            reason.starts_with("1 of 2 clients: There is no room"),
            "{reason}"
        );
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let mut watcher = watcher(1);
        for _ in 0..FIRST_TRIES {
            assert!(!watcher.is_over(0));
            watcher.see(0, &Event::Connection(Connection::Waiting { retry_ms: 1 }));
        }
        assert!(
            watcher
                .verdict()
                .unwrap_err()
                .contains("http://a cannot be reached")
        );
    }

    #[test]
    fn what_all_hear_is_told_once() {
        let mut watcher = watcher(2);
        assert!(watcher.line(0, &finished(1)).is_some());
        assert!(watcher.line(1, &finished(1)).is_none());
    }
}
