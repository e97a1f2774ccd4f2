//! One room in one process: whether it leads the room or follows another process that does.

use std::sync::Arc;
use std::time::Duration;

use fl_core::settings::RoomSettings;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::lease::{Taken, take};
use super::{Cluster, TERM};
use crate::room_actor::Input;
use crate::workshop::Workshop;

/// Between two looks at a lease that is in the way.
const PAUSE: Duration = Duration::from_millis(200);

/// Takes what a process's sockets and requests have for a room to where the room is.
pub(crate) struct Bridge {
    pub(crate) room: String,
    pub(crate) cluster: Cluster,
    pub(crate) settings: RoomSettings,
    pub(crate) workshop: Arc<Workshop>,
}

/// Why leading or following has ended.
pub(super) enum Ended {
    /// Nothing is wanted of the room.
    Idle,
    /// The link or the lease is lost.
    Lost,
    /// The server ends.
    Stopped,
}

impl Bridge {
    /// Runs until the server ends. A process does nothing about a room until somebody wants
    /// something of it; then it leads, if nobody does, or follows.
    pub(crate) async fn run(self, mut inputs: mpsc::Receiver<Input>) {
        let stop = self.workshop.stop.clone();
        loop {
            let first = tokio::select! {
                () = stop.cancelled() => return,
                first = inputs.recv() => first,
            };
            let Some(first) = first else { return };
            // What is left of connections that have ended.
            if !is_wish(&first) {
                continue;
            }
            if let Ended::Stopped = self.serve(first, &mut inputs).await {
                return;
            }
        }
    }

    async fn serve(&self, first: Input, inputs: &mut mpsc::Receiver<Input>) -> Ended {
        let patience = Instant::now() + 3 * TERM;
        let mut first = Some(first);
        // Once it is taken, everything begins anew with the next wish.
        while first.is_some() && Instant::now() < patience {
            let ended = match take(&self.cluster, &self.room).await {
                Ok(Taken::Mine(lease)) => self.lead(*lease, &mut first, inputs).await,
                Ok(Taken::Theirs(holder)) => self.follow(holder, &mut first, inputs).await,
                Err(error) => {
                    tracing::debug!(room = self.room, error, "nobody leads the room yet");
                    Ended::Lost
                }
            };
            if !matches!(ended, Ended::Lost) {
                return ended;
            }
            tokio::select! {
                () = self.workshop.stop.cancelled() => return Ended::Stopped,
                () = sleep(PAUSE) => {}
            }
        }
        Ended::Lost
    }
}

fn is_wish(input: &Input) -> bool {
    matches!(
        input,
        Input::Join { .. } | Input::Command { .. } | Input::Inspect { .. } | Input::Global { .. }
    )
}
