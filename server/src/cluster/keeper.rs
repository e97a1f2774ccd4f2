//! Writes a room's state while this process leads the room; at the first write that fails, it leads
//! no more.
//!
//! After a failure nobody knows what NATS has: the next leader, this process or another, reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::aggregate::OptimizerState;
use fl_core::protocol::RoundRecord;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Cluster;
use super::codec::json;
use super::state::{Head, Loaded, evaluation_key, fitting, head_key, member_key, round_key};
use crate::store::Change;

/// Changes that wait before the room waits too.
const QUEUE: usize = 1024;
/// Most changes written at once.
const BATCH: usize = 64;

/// The way to a room's stored state. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    cluster: Cluster,
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
enum Job {
    Change(Change),
    Complete {
        record: Box<RoundRecord>,
        hash: AdapterHash,
        done: oneshot::Sender<Result<(), String>>,
    },
    Prune(BTreeSet<u32>),
}

impl Keeper {
    /// Begins to write what follows from `loaded`; `deposed` is told at the first failure. The end
    /// of the server waits for `tasks`, and so for what is still to be written.
    pub(super) fn start(
        cluster: Cluster,
        loaded: Loaded,
        deposed: CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = Writer {
            cluster: cluster.clone(),
            room: loaded.state.code,
            head: loaded.head,
            revision: loaded.revision,
            members: loaded.members,
        };
        tasks.spawn(writer.run(queue, deposed));
        Self { cluster, jobs }
    }

    /// Hands a change over without waiting for its being durable.
    pub(crate) async fn note(&self, change: Change) {
        // The writer has ended: so has this process's leading.
        let _ = self.jobs.send(Job::Change(change)).await;
    }

    /// Makes a completed round durable: adapter first, then the head that names it.
    pub(crate) async fn complete(
        &self,
        room: &str,
        record: RoundRecord,
        adapter: Arc<Adapter>,
        optimizer: Arc<OptimizerState>,
    ) -> Result<(), String> {
        let stored = self
            .cluster
            .put_adapter(room, record.round, &adapter, &optimizer);
        stored.await?;
        let (done, result) = oneshot::channel();
        let (record, hash) = (Box::new(fitting(record)), adapter.hash());
        let complete = Job::Complete { record, hash, done };
        let ended = || "this process leads the room no more".to_owned();
        self.jobs.send(complete).await.map_err(|_| ended())?;
        result.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Removes the adapters of all rounds but these.
    pub(crate) async fn prune(&self, kept: BTreeSet<u32>) {
        let _ = self.jobs.send(Job::Prune(kept)).await;
    }
}

/// What only one task of one process does.
struct Writer {
    cluster: Cluster,
    room: String,
    head: Head,
    revision: u64,
    members: BTreeMap<String, u64>,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>, deposed: CancellationToken) {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            if let Err(error) = self.write(std::mem::take(&mut batch)).await {
                tracing::warn!(room = self.room, error, "the room's state was not stored");
                deposed.cancel();
                return;
            }
        }
    }

    async fn write(&mut self, jobs: Vec<Job>) -> Result<(), String> {
        // Of several changes of one member the last one counts.
        let mut members = BTreeMap::new();
        for job in jobs {
            match job {
                Job::Change(Change::Member(member)) => {
                    let key = member_key(&self.room, member.id);
                    members.insert(key, Some(json(&member)?));
                }
                Job::Change(Change::Forget(id)) => {
                    members.insert(member_key(&self.room, id), None);
                }
                Job::Change(change) => self.change(change).await?,
                Job::Complete { record, hash, done } => {
                    let completed = self.complete(*record, hash).await;
                    // Whoever asked may be gone.
                    let _ = done.send(completed.clone());
                    completed?;
                }
                Job::Prune(kept) => self.prune(&kept).await,
            }
        }
        self.write_members(members).await
    }

    async fn change(&mut self, change: Change) -> Result<(), String> {
        let rooms = &self.cluster.0.rooms;
        match change {
            Change::Activity(activity) => {
                self.head.activity = activity;
                self.write_head().await
            }
            Change::Round(record) => {
                // An attempt that another leader has completed keeps its record.
                let record = fitting(*record);
                let key = round_key(&self.room, &record);
                if let Err(error) = rooms.create(&key, json(&record)?).await {
                    tracing::debug!(room = self.room, %error, "an attempt is recorded already");
                }
                Ok(())
            }
            Change::Evaluated(evaluated) => {
                let key = evaluation_key(&self.room, evaluated.round);
                let put = rooms.put(key, json(&evaluated)?).await;
                put.map(drop).map_err(|error| error.to_string())
            }
            Change::Member(_)
            | Change::Forget(_)
            | Change::Room(_)
            | Change::Update(_)
            | Change::Base(_) => Ok(()),
        }
    }

    async fn complete(&mut self, record: RoundRecord, hash: AdapterHash) -> Result<(), String> {
        self.head.completed = record.round;
        self.head.adapters.insert(record.round, hash);
        self.head.last = Some(record.clone());
        self.write_head().await?;
        // The head has it: if this fails, the next leader finds it there.
        let put = self
            .cluster
            .0
            .rooms
            .put(round_key(&self.room, &record), json(&record)?);
        put.await.map(drop).map_err(|error| error.to_string())
    }

    async fn write_head(&mut self) -> Result<(), String> {
        let update =
            self.cluster
                .0
                .rooms
                .update(head_key(&self.room), json(&self.head)?, self.revision);
        self.revision = update.await.map_err(|error| error.to_string())?;
        Ok(())
    }

    async fn prune(&mut self, kept: &BTreeSet<u32>) {
        let old = |(round, hash): (&u32, &AdapterHash)| {
            (!kept.contains(round)).then_some((*round, *hash))
        };
        let old: Vec<_> = self.head.adapters.iter().filter_map(old).collect();
        for (round, hash) in old {
            self.cluster.delete_adapter(&self.room, round, hash).await;
            // Which the next write of the head tells.
            self.head.adapters.remove(&round);
        }
    }

    /// Writes members' keys side by side, each over what was read or written last.
    async fn write_members(
        &mut self,
        members: BTreeMap<String, Option<Bytes>>,
    ) -> Result<(), String> {
        let mut writes = JoinSet::new();
        for (key, value) in members {
            let rooms = self.cluster.0.rooms.clone();
            let revision = self.members.get(&key).copied();
            writes.spawn(async move {
                let written = match (value, revision) {
                    (Some(value), revision) => {
                        // Revision 0 stands for a key that is not there.
                        let update = rooms.update(&key, value, revision.unwrap_or(0));
                        update.await.map(Some)
                    }
                    (None, Some(revision)) => rooms
                        .delete_expect_revision(&key, Some(revision))
                        .await
                        .map(|()| None),
                    (None, None) => Ok(None),
                };
                (key, written)
            });
        }
        while let Some(written) = writes.join_next().await {
            let (key, revision) = written.map_err(|error| error.to_string())?;
            match revision.map_err(|error| format!("{key}: {error}"))? {
                Some(revision) => self.members.insert(key, revision),
                None => self.members.remove(&key),
            };
        }
        Ok(())
    }
}
