//! Where a room's task stores what outlives the process: on this machine, or in NATS.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use fl_core::adapter::Adapter;
use fl_core::aggregate::OptimizerState;
use fl_core::protocol::RoundRecord;

use crate::cluster::Keeper;
use crate::store::{Change, Store};

/// The way to a room's stored state.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// Files and a database of this process.
    Disk(Store),
    /// What all processes share.
    Nats(Keeper),
}

impl Storage {
    /// Hands a change over without waiting for its being durable; failure is logged.
    pub(crate) async fn note(&self, room: &str, change: Change) {
        match self {
            Self::Disk(store) => store.note(room, change).await,
            Self::Nats(keeper) => keeper.note(change).await,
        }
    }

    /// Makes a recorded update durable, which only a disk takes.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) async fn commit(&self, room: &str, change: Change) -> Result<(), String> {
        match self {
            Self::Disk(store) => store.commit(room, change).await,
            Self::Nats(_) => Err("nothing is recorded in NATS".into()),
        }
    }

    /// Makes a completed round durable: adapter first, then the record that speaks of it.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) async fn complete(
        &self,
        room: &str,
        config: Bytes,
        record: RoundRecord,
        adapter: Arc<Adapter>,
        optimizer: Arc<OptimizerState>,
    ) -> Result<(), String> {
        match self {
            Self::Disk(store) => {
                store
                    .complete(room, config, record, adapter, optimizer)
                    .await
            }
            Self::Nats(keeper) => keeper.complete(room, record, adapter, optimizer).await,
        }
    }

    /// Removes the adapters of all rounds but these; failure is logged.
    pub(crate) async fn prune(&self, room: &str, kept: BTreeSet<u32>) {
        match self {
            Self::Disk(store) => store.prune(room, kept).await,
            Self::Nats(keeper) => keeper.prune(kept).await,
        }
    }
}
