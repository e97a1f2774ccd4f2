//! The ways from a room to its clients: outboxes of this process, and links to other processes.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use fl_core::adapter::AdapterHash;
use fl_core::error::Fault;
use fl_core::protocol::ClientId;
use fl_core::room::{ConnectionId, ProcessId};

use crate::cluster::{Down, Sending};
use crate::outbox::{Outbox, Outgoing};

/// All ways. What cannot be sent marks its way as broken; the room then lets go of it.
#[derive(Debug, Default)]
pub(super) struct Ways {
    here: BTreeMap<ConnectionId, Outbox>,
    elsewhere: BTreeMap<ProcessId, Link>,
    slow: Vec<ConnectionId>,
    stuck: Vec<ProcessId>,
}

#[derive(Debug)]
struct Link {
    sending: Sending<Down>,
    connections: BTreeSet<ConnectionId>,
}

/// The process that has a connection, which its number begins with.
pub(crate) fn process_of(connection: ConnectionId) -> ProcessId {
    ProcessId((connection.0 >> 32) as u32)
}

impl Ways {
    /// Connections there are.
    pub(super) fn count(&self) -> usize {
        let elsewhere = self.elsewhere.values().map(|link| link.connections.len());
        self.here.len() + elsewhere.sum::<usize>()
    }

    pub(super) fn add(&mut self, connection: ConnectionId, outbox: Outbox) {
        self.here.insert(connection, outbox);
    }

    /// Adds a connection of another process, if there is a link to it.
    pub(super) fn add_elsewhere(&mut self, connection: ConnectionId) -> bool {
        let link = self.elsewhere.get_mut(&process_of(connection));
        link.is_some_and(|link| link.connections.insert(connection))
    }

    /// Lets go of a connection; gives back its outbox, where that is here.
    pub(super) fn remove(&mut self, connection: ConnectionId) -> Option<Outbox> {
        if let Some(link) = self.elsewhere.get_mut(&process_of(connection)) {
            link.connections.remove(&connection);
        }
        self.here.remove(&connection)
    }

    /// Ends a connection, with the reason.
    pub(super) fn close(&mut self, connection: ConnectionId, fault: Fault) {
        match self.remove(connection) {
            Some(outbox) => outbox.refuse(fault),
            None => self.tell(
                process_of(connection),
                Down::Close { connection, fault },
                Bytes::new(),
            ),
        }
    }

    pub(super) fn send_text(&mut self, connection: ConnectionId, text: String) {
        match self.here.get(&connection) {
            Some(outbox) => {
                if outbox.send(Outgoing::Text(text.into())).is_err() {
                    self.slow.push(connection);
                }
            }
            None => self.tell(
                process_of(connection),
                Down::Send { connection },
                text.into(),
            ),
        }
    }

    /// Sends the newest adapter, whose frame is made when it is needed here.
    pub(super) fn send_global(&mut self, connection: ConnectionId, frame: impl FnOnce() -> Bytes) {
        match self.here.get(&connection) {
            Some(outbox) => {
                if outbox.send(Outgoing::Binary(frame())).is_err() {
                    self.slow.push(connection);
                }
            }
            None => self.tell(
                process_of(connection),
                Down::SendGlobal { connection },
                Bytes::new(),
            ),
        }
    }

    pub(super) fn send_text_to_all(&mut self, text: String) {
        let text = Bytes::from(text);
        for process in self.processes() {
            self.tell(process, Down::SendAll, text.clone());
        }
        // It was a String.
        if let Ok(text) = Utf8Bytes::try_from(text) {
            self.send_here(&Outgoing::Text(text));
        }
    }

    /// Sends a new adapter on every connection; to other processes its name.
    pub(super) fn send_global_to_all(&mut self, round: u32, hash: AdapterHash, frame: Bytes) {
        for process in self.processes() {
            self.tell(process, Down::Global { round, hash }, Bytes::new());
        }
        self.send_here(&Outgoing::Binary(frame));
    }

    fn send_here(&mut self, outgoing: &Outgoing) {
        let behind = |(id, outbox): (&ConnectionId, &Outbox)| {
            outbox.send(outgoing.clone()).is_err().then_some(*id)
        };
        self.slow.extend(self.here.iter().filter_map(behind));
    }

    /// A link to another process.
    pub(super) fn open(&mut self, process: ProcessId, sending: Sending<Down>) {
        let link = Link {
            sending,
            connections: BTreeSet::new(),
        };
        self.elsewhere.insert(process, link);
    }

    /// Lets go of a process; gives back its connections.
    pub(super) fn lose(&mut self, process: ProcessId) -> BTreeSet<ConnectionId> {
        let link = self.elsewhere.remove(&process);
        link.map(|link| link.connections).unwrap_or_default()
    }

    pub(super) fn opened(&mut self, process: ProcessId, round: u32, hash: AdapterHash) {
        self.tell(process, Down::Opened { round, hash }, Bytes::new());
    }

    /// Asks for what was summed; a process without a link is broken off at once.
    pub(super) fn collect(&mut self, process: ProcessId, round: u32, attempt: u32) {
        self.tell(process, Down::Collect { round, attempt }, Bytes::new());
        if !self.elsewhere.contains_key(&process) {
            self.stuck.push(process);
        }
    }

    pub(super) fn verdict(&mut self, process: ProcessId, id: u64, client: Option<ClientId>) {
        self.tell(process, Down::Verdict { id, client }, Bytes::new());
    }

    fn tell(&mut self, process: ProcessId, what: Down, payload: Bytes) {
        let link = self.elsewhere.get(&process);
        if link.is_some_and(|link| link.sending.send_with(what, payload).is_err()) {
            self.stuck.push(process);
        }
    }

    fn processes(&self) -> Vec<ProcessId> {
        self.elsewhere.keys().copied().collect()
    }

    /// The ways that have broken since the last call.
    pub(super) fn take_broken(&mut self) -> (Vec<ConnectionId>, Vec<ProcessId>) {
        (
            std::mem::take(&mut self.slow),
            std::mem::take(&mut self.stuck),
        )
    }
}
