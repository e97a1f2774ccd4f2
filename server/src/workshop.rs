//! What rooms' tasks are made of, and starting one.

use std::sync::Arc;

use fl_core::room::Room;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::evaluation::Evaluator;
use crate::learning::Library;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::room_actor::{Input, RoomActor};
use crate::storage::Storage;

/// Messages that wait for a room before its connections are read no further.
pub(crate) const INBOX: usize = 256;

/// What all rooms' tasks share.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) library: Arc<Library>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// For evaluations, which take turns.
    pub(crate) turns: Arc<Semaphore>,
    /// Ends every task.
    pub(crate) stop: CancellationToken,
    /// Whose end the server's end waits for.
    pub(crate) tasks: TaskTracker,
}

impl Workshop {
    /// Starts a room's task, which takes what comes through `inbox` and ends at `stop`.
    pub(crate) fn start(
        &self,
        room: Room,
        storage: Storage,
        inbox: &mpsc::Sender<Input>,
        messages: mpsc::Receiver<Input>,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let evaluator = Evaluator::start(
            Arc::clone(&self.library),
            room.settings().clone(),
            inbox.downgrade(),
            Arc::clone(&self.turns),
        );
        let adapter_config = self.library.adapter_config(room.settings());
        let actor = RoomActor::new(
            room,
            storage,
            evaluator,
            self.limits.clone(),
            adapter_config,
            self.metrics.clone(),
        );
        self.tasks.spawn(actor.run(messages, stop))
    }
}
