//! What other processes of the service say to a room's task.

use fl_core::aggregate::Partial;
use fl_core::error::Fault;
use fl_core::protocol::Report;
use fl_core::room::{ConnectionId, Hello, Millis, ProcessId};

use super::RoomActor;
use crate::cluster::{Down, Sending};
use crate::secrets;

/// What another process says, or what is known of it.
#[derive(Debug)]
pub(crate) enum Elsewhere {
    /// There is a link to it.
    Opened { link: Sending<Down> },
    /// One of its connections said hello.
    Join {
        connection: ConnectionId,
        hello: Hello,
    },
    /// An update that it holds, and what is wrong with its matrices.
    Report {
        id: u64,
        connection: ConnectionId,
        report: Box<Report>,
        bytes: usize,
        fault: Option<Fault>,
    },
    /// What it has summed.
    Partial(Box<Partial>),
    /// The link to it is lost, and with it its connections and its sum.
    Lost,
}

impl RoomActor {
    pub(super) fn take_elsewhere(&mut self, process: ProcessId, what: Elsewhere, now: Millis) {
        match what {
            Elsewhere::Opened { link } => {
                self.ways.open(process, link);
                let (round, _, hash) = self.room.global();
                self.ways.opened(process, round, hash);
            }
            Elsewhere::Join { connection, hello } => self.join_elsewhere(connection, hello, now),
            Elsewhere::Report {
                id,
                connection,
                report,
                bytes,
                fault,
            } => {
                let matrices = fault.map_or(Ok(()), Err);
                // Before all that follows from it, such as the wish for the sum that it goes into.
                let counts = self
                    .room
                    .report_elsewhere(connection, &report, matrices, bytes, process, now);
                let counts = counts.map(|counted| counted.client);
                self.ways.verdict(process, id, counts);
            }
            Elsewhere::Partial(partial) => {
                self.heavily(|room| room.collected(process, *partial, now));
            }
            Elsewhere::Lost => self.lose_process(process, now),
        }
    }

    fn join_elsewhere(&mut self, connection: ConnectionId, hello: Hello, now: Millis) {
        if !self.ways.add_elsewhere(connection) {
            return;
        }
        match secrets::token() {
            Ok(token) => self.room.hello(connection, hello, token, now),
            Err(fault) => self.ways.close(connection, fault),
        }
    }

    pub(super) fn lose_process(&mut self, process: ProcessId, now: Millis) {
        for connection in self.ways.lose(process) {
            self.heavily(|room| room.disconnected(connection, now));
        }
        self.heavily(|room| room.process_lost(process, now));
    }
}
