//! The bounded way from a room to one connection.

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use fl_core::error::Fault;
use tokio::sync::{mpsc, oneshot};

/// What a connection is to send.
#[derive(Clone, Debug)]
pub(crate) enum Outgoing {
    /// A text frame; broadcasts share it.
    Text(Utf8Bytes),
    /// A binary frame; broadcasts share it.
    Binary(Bytes),
    /// Why, then the end of the connection.
    Refuse(Fault),
}

/// The room's end.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    cut: oneshot::Sender<Fault>,
}

/// The connection's end.
#[derive(Debug)]
pub(crate) struct Outgoings {
    /// What to send, in order.
    pub(crate) queue: mpsc::Receiver<Outgoing>,
    /// Says that nothing more is worth sending but this.
    pub(crate) cut: oneshot::Receiver<Fault>,
}

/// The reader does not keep up.
#[derive(Debug)]
pub(crate) struct TooSlow;

/// Both ends of a queue for `length` messages.
pub(crate) fn outbox(length: usize) -> (Outbox, Outgoings) {
    let (sender, queue) = mpsc::channel(length);
    let (cut, cut_here) = oneshot::channel();
    let outbox = Outbox { queue: sender, cut };
    let outgoings = Outgoings {
        queue,
        cut: cut_here,
    };
    (outbox, outgoings)
}

impl Outbox {
    /// Queues a message; never waits.
    pub(crate) fn send(&self, outgoing: Outgoing) -> Result<(), TooSlow> {
        match self.queue.try_send(outgoing) {
            Err(mpsc::error::TrySendError::Full(_)) => Err(TooSlow),
            // A connection that is gone says so itself.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// A way for the connection itself to queue answers, which does not keep the queue open.
    pub(crate) fn replies(&self) -> mpsc::WeakSender<Outgoing> {
        self.queue.downgrade()
    }

    /// Ends the connection behind what is queued, or at once where the queue is full.
    pub(crate) fn refuse(self, fault: Fault) {
        if self.send(Outgoing::Refuse(fault.clone())).is_err() {
            self.cut(fault);
        }
    }

    /// Ends the connection at once; what is queued is not sent.
    pub(crate) fn cut(self, fault: Fault) {
        // Nobody there: the connection is gone already.
        let _ = self.cut.send(fault);
    }
}
