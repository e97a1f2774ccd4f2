//! The bounded way from a room to one connection.

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use fl_core::error::Fault;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Counted;

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

/// A message, counted among those that wait.
type Waiting = (Outgoing, Counted);

/// The room's end.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Waiting>,
    waiting: Gauge,
    cut: oneshot::Sender<Fault>,
}

/// The connection's end.
#[derive(Debug)]
pub(crate) struct Outgoings {
    /// What to send, in order.
    pub(crate) queue: Queue,
    /// Says that nothing more is worth sending but this.
    pub(crate) cut: oneshot::Receiver<Fault>,
}

/// What waits for a connection.
#[derive(Debug)]
pub(crate) struct Queue(mpsc::Receiver<Waiting>);

impl Queue {
    /// The next message; none when the room has let go of the connection.
    pub(crate) async fn recv(&mut self) -> Option<Outgoing> {
        self.0.recv().await.map(|(outgoing, _)| outgoing)
    }

    /// The messages that are there already, not those that come meanwhile.
    pub(crate) fn waiting(&mut self) -> impl Iterator<Item = Outgoing> {
        let count = self.0.len();
        (0..count).map_while(|_| self.0.try_recv().ok().map(|(outgoing, _)| outgoing))
    }
}

/// A way for the connection itself to queue answers, which does not keep the queue open.
#[derive(Debug)]
pub(crate) struct Replies {
    queue: mpsc::WeakSender<Waiting>,
    waiting: Gauge,
}

impl Replies {
    /// Queues an answer, as long as the room holds the connection.
    pub(crate) fn send(&self, outgoing: Outgoing) -> Result<(), TooSlow> {
        match self.queue.upgrade() {
            Some(queue) => send(&queue, &self.waiting, outgoing),
            None => Ok(()),
        }
    }
}

fn send(queue: &mpsc::Sender<Waiting>, waiting: &Gauge, outgoing: Outgoing) -> Result<(), TooSlow> {
    match queue.try_send((outgoing, Counted::new(waiting))) {
        Err(mpsc::error::TrySendError::Full(_)) => Err(TooSlow),
        // A connection that is gone says so itself.
        Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
    }
}

/// The reader does not keep up.
#[derive(Debug)]
pub(crate) struct TooSlow;

/// Both ends of a queue for `length` messages, which `waiting` counts.
pub(crate) fn outbox(length: usize, waiting: &Gauge) -> (Outbox, Outgoings) {
    let (sender, queue) = mpsc::channel(length);
    let (cut, cut_here) = oneshot::channel();
    let outbox = Outbox {
        queue: sender,
        waiting: waiting.clone(),
        cut,
    };
    let outgoings = Outgoings {
        queue: Queue(queue),
        cut: cut_here,
    };
    (outbox, outgoings)
}

impl Outbox {
    /// Queues a message; never waits.
    pub(crate) fn send(&self, outgoing: Outgoing) -> Result<(), TooSlow> {
        send(&self.queue, &self.waiting, outgoing)
    }

    /// A way for the connection itself to queue answers, which does not keep the queue open.
    pub(crate) fn replies(&self) -> Replies {
        Replies {
            queue: self.queue.downgrade(),
            waiting: self.waiting.clone(),
        }
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
