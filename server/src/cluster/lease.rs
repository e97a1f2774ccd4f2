//! Who leads a room: a key that its leader renews, and that NATS forgets otherwise.

use async_nats::jetstream::kv::{self, CreateErrorKind, Operation};
use fl_core::room::ProcessId;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::codec::{json, parsed};
use super::{Cluster, TERM};
use crate::secrets;

/// The leader of a room, for one term of office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) process: ProcessId,
    /// Drawn anew whenever a process begins to lead.
    pub(super) term: u32,
}

/// A lease that this process holds.
pub(super) struct Lease {
    store: kv::Store,
    room: String,
    pub(super) holder: Holder,
    revision: u64,
    /// By then it is renewed, or this process leads no more: before NATS forgets it.
    until: Instant,
}

/// What came of wanting a lease.
pub(super) enum Taken {
    Mine(Box<Lease>),
    Theirs(Holder),
}

/// Takes a room's lease unless somebody has it.
pub(super) async fn take(cluster: &Cluster, room: &str) -> Result<Taken, String> {
    let store = cluster.0.leases.clone();
    if let Some(holder) = holder(&store, room).await? {
        return Ok(Taken::Theirs(holder));
    }
    let holder = Holder {
        process: cluster.process(),
        term: secrets::number().map_err(|fault| fault.message)?,
    };
    let asked = Instant::now();
    match store.create(room, json(&holder)?).await {
        Ok(revision) => Ok(Taken::Mine(Box::new(Lease {
            store,
            room: room.into(),
            holder,
            revision,
            until: asked + TERM * 3 / 4,
        }))),
        Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
            Err("another process took the lease first".into())
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn holder(store: &kv::Store, room: &str) -> Result<Option<Holder>, String> {
    let entry = store.entry(room).await.map_err(|error| error.to_string())?;
    let entry = entry.filter(|entry| entry.operation == Operation::Put);
    entry.map(|entry| parsed(room, &entry.value)).transpose()
}

impl Lease {
    /// Renews it until `end`, then gives it back; `lost` is told when it cannot be renewed any more,
    /// while nobody else can have it yet.
    pub(super) async fn keep(mut self, end: CancellationToken, lost: CancellationToken) {
        loop {
            tokio::select! {
                () = end.cancelled() => break,
                () = sleep(TERM / 4) => {}
            }
            if let Err(error) = self.renew().await {
                tracing::warn!(room = self.room, error, "the room's lease is lost");
                lost.cancel();
                return;
            }
        }
        let given_back = self
            .store
            .delete_expect_revision(&self.room, Some(self.revision));
        // Else it ends by itself.
        let _ = timeout_at(Instant::now() + TERM, given_back).await;
    }

    async fn renew(&mut self) -> Result<(), String> {
        let asked = Instant::now();
        let renewal = self
            .store
            .update(&self.room, json(&self.holder)?, self.revision);
        match timeout_at(self.until, renewal).await {
            Ok(Ok(revision)) => self.revision = revision,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("NATS did not answer in time".into()),
        }
        self.until = asked + TERM * 3 / 4;
        Ok(())
    }
}
