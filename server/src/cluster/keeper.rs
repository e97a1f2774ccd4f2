//! Writes a room's state while this process leads the room; at the first write that fails, it leads
//! no more.
//!
//! After a failure nobody knows what NATS has: the next leader, this process or another, reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_nats::jetstream::kv::CreateErrorKind;
use bytes::Bytes;
use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::aggregate::OptimizerState;
use fl_core::protocol::RoundRecord;
use fl_core::room::HISTORY_KEPT;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Cluster;
use super::codec::json;
use super::state::{
    Head, Loaded, Revisions, evaluation_key, fitting, head_key, member_key, round_key,
};
use crate::store::Change;

/// Changes that wait before the room waits too.
const QUEUE: usize = 1024;
/// Most changes written at once.
const BATCH: usize = 64;
/// Most records of old rounds removed at once.
const SWEPT: usize = 32;

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
            revisions: loaded.revisions,
        };
        tasks.spawn(writer.run(queue, deposed));
        Self { cluster, jobs }
    }

    /// Hands a change over without waiting for its being durable.
    pub(crate) async fn note(&self, change: Change) {
        // The writer has ended: so has this process's leading.
        let _ = self.jobs.send(Job::Change(change)).await;
    }

    /// Makes a completed round durable: adapter first, then the head that names it; before both, a
    /// word on the adapter for whoever would have to remove it.
    pub(crate) async fn complete(
        &self,
        room: &str,
        record: RoundRecord,
        adapter: Arc<Adapter>,
        optimizer: Arc<OptimizerState>,
    ) -> Result<(), String> {
        let hash = adapter.hash();
        let cluster = &self.cluster;
        cluster.note_unfinished(room, record.round, hash).await?;
        let stored = cluster.put_adapter(room, record.round, &adapter, &optimizer);
        stored.await?;
        let (done, result) = oneshot::channel();
        let record = Box::new(fitting(record));
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
    revisions: Revisions,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Job>, deposed: CancellationToken) {
        if let Err(error) = self.write_all(&mut queue).await {
            tracing::warn!(room = self.room, error, "the room's state was not stored");
            deposed.cancel();
        }
    }

    async fn write_all(&mut self, queue: &mut mpsc::Receiver<Job>) -> Result<(), String> {
        // The leader of before may not have come to it.
        self.keep_last().await?;
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            self.write(std::mem::take(&mut batch)).await?;
        }
        Ok(())
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
                let record = fitting(*record);
                let place = (record.round, record.attempt);
                let key = round_key(&self.room, place);
                match rooms.create(&key, json(&record)?).await {
                    Ok(revision) => {
                        self.revisions.rounds.insert(place, revision);
                    }
                    // An attempt that another leader has completed keeps its record.
                    Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                        tracing::debug!(room = self.room, %error, "an attempt is recorded already");
                    }
                    Err(error) => return Err(format!("{key}: {error}")),
                }
                self.remove_old_rounds().await;
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
        // Whatever its key has.
        let place = (record.round, record.attempt);
        self.revisions.rounds.remove(&place);
        self.head.last = Some(record);
        self.write_head().await?;
        // The head has it: if this fails, the next leader finds it there.
        self.keep_last().await
    }

    /// Gives the last round's record a key of its own, before the head names another one.
    async fn keep_last(&mut self) -> Result<(), String> {
        let Some(record) = &self.head.last else {
            return Ok(());
        };
        let place = (record.round, record.attempt);
        if self.revisions.rounds.contains_key(&place) {
            return Ok(());
        }
        let rooms = &self.cluster.0.rooms;
        let put = rooms.put(round_key(&self.room, place), json(record)?);
        let revision = put.await.map_err(|error| error.to_string())?;
        self.revisions.rounds.insert(place, revision);
        self.remove_old_rounds().await;
        Ok(())
    }

    /// Removes records of rounds so old that no leader reads them back: as many newer ones as a room
    /// keeps are durable, whoever has led it meanwhile.
    async fn remove_old_rounds(&mut self) {
        for _ in 0..SWEPT {
            if self.revisions.rounds.len() <= HISTORY_KEPT {
                return;
            }
            let Some((place, revision)) = self.revisions.rounds.pop_first() else {
                return;
            };
            let key = round_key(&self.room, place);
            if let Err(error) = self.cluster.remove_key(&key, revision).await {
                // The next leader reads it and tries again.
                tracing::warn!(room = self.room, error, "an old round's record stays");
                return;
            }
        }
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
            match self.cluster.remove_adapter(&self.room, round, hash).await {
                // Which the next write of the head tells.
                Ok(()) => drop(self.head.adapters.remove(&round)),
                // The head still names it, so it is tried again.
                Err(error) => {
                    tracing::warn!(room = self.room, round, error, "an old adapter stays");
                    return;
                }
            }
        }
    }

    /// Writes members' keys side by side, each over what was read or written last.
    async fn write_members(
        &mut self,
        members: BTreeMap<String, Option<Bytes>>,
    ) -> Result<(), String> {
        let mut writes = JoinSet::new();
        for (key, value) in members {
            let cluster = self.cluster.clone();
            let revision = self.revisions.members.get(&key).copied();
            writes.spawn(async move {
                let written = match (value, revision) {
                    (Some(value), revision) => {
                        // Revision 0 stands for a key that is not there.
                        let update = cluster.0.rooms.update(&key, value, revision.unwrap_or(0));
                        update.await.map(Some).map_err(|error| error.to_string())
                    }
                    (None, Some(revision)) => match cluster.remove_key(&key, revision).await {
                        Ok(true) => Ok(None),
                        // Removed by the leader of before, whose purge leaves no trace, or written.
                        Ok(false) => match cluster.0.rooms.get(&key).await {
                            Ok(None) => Ok(None),
                            Ok(Some(_)) => Err("it was written by another process".into()),
                            Err(error) => Err(error.to_string()),
                        },
                        Err(error) => Err(error),
                    },
                    (None, None) => Ok(None),
                };
                (key, written)
            });
        }
        while let Some(written) = writes.join_next().await {
            let (key, revision) = written.map_err(|error| error.to_string())?;
            match revision.map_err(|error| format!("{key}: {error}"))? {
                Some(revision) => self.revisions.members.insert(key, revision),
                None => self.revisions.members.remove(&key),
            };
        }
        Ok(())
    }
}
