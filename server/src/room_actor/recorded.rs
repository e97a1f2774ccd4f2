//! What a recorded room keeps for a replay.

use std::sync::Arc;

use bytes::Bytes;
use fl_core::room::Counted;

use super::RoomActor;
use crate::store::{Change, RecordedBase, RecordedFrame};

impl RoomActor {
    /// Keeps where the room stands, so that a replay can begin here.
    pub(super) async fn record_base(&self) {
        let (round, global, _) = self.room.global();
        let goes_on = round < self.room.settings().round.rounds;
        if self.room.is_recorded() && goes_on {
            let base = RecordedBase {
                round,
                global: Arc::clone(global),
                optimizer: Arc::clone(self.room.optimizer()),
            };
            let change = Change::Base(Box::new(base));
            self.store.note(self.room.code(), change).await;
        }
    }

    /// Keeps an update that counts; its round is stored after it. The room waits until it is
    /// written, so that no more than one update a room is held for it.
    pub(super) async fn record(&self, counted: Counted, frame: Bytes) {
        let Counted {
            client,
            round,
            attempt,
        } = counted;
        let update = RecordedFrame {
            client,
            round,
            attempt,
            frame,
        };
        let change = Change::Update(Box::new(update));
        if let Err(error) = self.store.commit(self.room.code(), change).await {
            tracing::error!(room = self.room.code(), %error, "an update is not recorded");
        }
    }
}
