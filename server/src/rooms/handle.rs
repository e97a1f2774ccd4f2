//! The way to one room, and the pace at which it may refuse newcomers.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use fl_core::codec::KnownBody;
use fl_core::error::Fault;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::pace::Pace;
use crate::room_actor::Input;
use crate::secrets::OwnerHash;

/// The way to one room.
#[derive(Clone, Debug)]
pub(crate) struct RoomHandle {
    /// Where its task takes messages.
    pub(crate) inbox: mpsc::Sender<Input>,
    /// Who controls it.
    pub(crate) owner: OwnerHash,
    /// PEFT's configuration of its adapters.
    pub(crate) adapter_config: Bytes,
    /// Most bytes of an update's frame.
    pub(crate) frame_limit: usize,
    /// What its updates' bodies look like unless they are compressed.
    pub(crate) body: Arc<KnownBody>,
    /// Whether its updates are kept as they come.
    pub(crate) recorded: bool,
    /// Hellos that it has refused.
    pub(super) failed: Arc<Mutex<Pace>>,
}

impl RoomHandle {
    /// Whether a hello is looked at: strangers cannot keep a room busy with refusing them.
    pub(crate) fn takes_hello(&self) -> Result<(), Fault> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.check(Instant::now()).map_err(|_| {
            let message = "This room had to refuse too many newcomers.";
            Fault::rate_limited(message, failed.seconds_to_wait())
        })
    }

    /// Remembers that the room refused a hello.
    pub(crate) fn refused_hello(&self) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        // An empty bucket is what keeps the next ones off.
        let _ = failed.take(Instant::now());
    }
}
