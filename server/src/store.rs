//! What outlives the process: SQLite for rooms, members and rounds, PEFT directories for adapters.
//!
//! One thread owns the database. It takes everything that waits into one transaction, so that a
//! thousand joins cost a few disk flushes, not a thousand.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use fl_core::adapter::Adapter;
use fl_core::aggregate::OptimizerState;
use fl_core::member::MemberRecord;
use fl_core::protocol::{ClientId, Evaluated, ModelInfo, RoundRecord};
use fl_core::room::Activity;
use fl_core::settings::RoomSettings;
use tokio::sync::{mpsc, oneshot};

use crate::adapters::Adapters;
use crate::database::Database;
use crate::error::ServerError;
use crate::secrets::OwnerHash;

/// Changes that wait for the database thread before senders wait too.
const QUEUE: usize = 1024;
/// Most changes in one transaction.
const BATCH: usize = 256;

/// A room as it begins.
#[derive(Clone, Debug)]
pub(crate) struct NewRoom {
    pub(crate) code: String,
    pub(crate) owner: OwnerHash,
    pub(crate) settings: RoomSettings,
    pub(crate) model: ModelInfo,
    pub(crate) activity: Activity,
}

/// One change of the stored state.
#[derive(Debug)]
pub(crate) enum Change {
    Room(Box<NewRoom>),
    Activity(Activity),
    Member(MemberRecord),
    Forget(ClientId),
    Round(Box<RoundRecord>),
    Evaluated(Evaluated),
    /// An update that counts, of a room that is recorded.
    Update(Box<RecordedFrame>),
    /// Where a recording begins, or goes on after a start of the server.
    Base(Box<RecordedBase>),
}

/// An update as it came, for a replay.
#[derive(Debug)]
pub(crate) struct RecordedFrame {
    pub(crate) client: ClientId,
    pub(crate) round: u32,
    pub(crate) attempt: u32,
    pub(crate) frame: Bytes,
}

/// A room's state between two rounds, for a replay.
#[derive(Debug)]
pub(crate) struct RecordedBase {
    /// Rounds completed.
    pub(crate) round: u32,
    pub(crate) global: Arc<Adapter>,
    pub(crate) optimizer: Arc<OptimizerState>,
}

/// A change of one room, and whom to tell that it is durable.
struct Job {
    room: String,
    change: Change,
    done: Option<oneshot::Sender<Result<(), String>>>,
}

/// The way to the stored state. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    jobs: mpsc::Sender<Job>,
}

/// Ends when the last [`Store`] is gone and everything is written.
pub(crate) struct StoreThread {
    thread: thread::JoinHandle<()>,
    // Held so long as the database is open: two servers must not share a folder.
    _lock: File,
}

impl Store {
    /// Opens or makes a data folder; gives back the database to read the rooms from.
    pub(crate) fn open(folder: &Path) -> Result<OpenedStore, ServerError> {
        fs::create_dir_all(folder.join("rooms"))
            .map_err(|error| ServerError::data_folder(folder, &error))?;
        let lock = lock(folder)?;
        let database = Database::open(&database_file(folder))?;
        Ok(OpenedStore {
            folder: folder.into(),
            database,
            lock,
        })
    }

    /// Changes that wait for the database.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// The adapters of a room.
    pub(crate) fn adapters(&self, code: &str) -> Adapters {
        room_adapters(&self.folder, code)
    }

    /// Hands a change over without waiting for its being durable; failure is logged.
    pub(crate) async fn note(&self, room: &str, change: Change) {
        self.send(room, change, None).await;
    }

    /// Makes a change durable.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) async fn commit(&self, room: &str, change: Change) -> Result<(), String> {
        let (done, result) = oneshot::channel();
        self.send(room, change, Some(done)).await;
        result
            .await
            .unwrap_or_else(|_| Err("the database is closed".into()))
    }

    /// Makes a room durable: first adapter, then the room itself.
    pub(crate) async fn create(
        &self,
        room: NewRoom,
        config: Bytes,
        first: Arc<Adapter>,
    ) -> Result<(), String> {
        let code = room.code.clone();
        self.write_adapter(&code, 0, config, first, Arc::default())
            .await?;
        self.commit(&code, Change::Room(Box::new(room))).await
    }

    /// Makes a completed round durable: adapter first, then the record that speaks of it.
    pub(crate) async fn complete(
        &self,
        code: &str,
        config: Bytes,
        record: RoundRecord,
        adapter: Arc<Adapter>,
        optimizer: Arc<OptimizerState>,
    ) -> Result<(), String> {
        self.write_adapter(code, record.round, config, adapter, optimizer)
            .await?;
        self.commit(code, Change::Round(Box::new(record))).await
    }

    /// Removes the adapters of all rounds but these; failure is logged.
    pub(crate) async fn prune(&self, code: &str, kept: BTreeSet<u32>) {
        let adapters = self.adapters(code);
        let pruned = tokio::task::spawn_blocking(move || adapters.keep_only(&kept)).await;
        if let Ok(Err(error)) = pruned {
            tracing::warn!(room = code, %error, "old adapters could not be removed");
        }
    }

    async fn write_adapter(
        &self,
        code: &str,
        round: u32,
        config: Bytes,
        adapter: Arc<Adapter>,
        optimizer: Arc<OptimizerState>,
    ) -> Result<(), String> {
        let adapters = self.adapters(code);
        let write = move || adapters.write(round, &config, &adapter, &optimizer);
        match tokio::task::spawn_blocking(write).await {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn send(
        &self,
        room: &str,
        change: Change,
        done: Option<oneshot::Sender<Result<(), String>>>,
    ) {
        let room = room.to_owned();
        // The thread ends only after the last sender, unless it died; then `done` is dropped.
        let _ = self.jobs.send(Job { room, change, done }).await;
    }
}

/// A data folder before its writer runs.
pub(crate) struct OpenedStore {
    pub(crate) folder: PathBuf,
    pub(crate) database: Database,
    lock: File,
}

impl OpenedStore {
    pub(crate) fn adapters(&self, code: &str) -> Adapters {
        room_adapters(&self.folder, code)
    }

    /// Starts the thread that writes.
    pub(crate) fn start(self) -> Result<(Store, StoreThread), ServerError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let mut database = self.database;
        let thread = thread::Builder::new()
            .name("store".into())
            .spawn(move || write(&mut database, queue))
            .map_err(|error| ServerError::data_folder(&self.folder, &error))?;
        let store = Store {
            folder: self.folder,
            jobs,
        };
        let thread = StoreThread {
            thread,
            _lock: self.lock,
        };
        Ok((store, thread))
    }
}

impl StoreThread {
    /// Waits until everything is written; blocks.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the store's thread failed");
        }
    }
}

fn write(database: &mut Database, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(job) = queue.try_recv()
        {
            batch.push(job);
        }
        let changes = batch.iter().map(|job| (job.room.as_str(), &job.change));
        let result = database.apply(changes).map_err(|error| error.to_string());
        if let Err(error) = &result {
            tracing::error!(%error, changes = batch.len(), "changes could not be stored");
        }
        for job in batch {
            if let Some(done) = job.done {
                // Whoever asked may be gone.
                let _ = done.send(result.clone());
            }
        }
    }
}

/// The database of a data folder.
pub(crate) fn database_file(folder: &Path) -> PathBuf {
    folder.join("lpfl.sqlite")
}

fn room_adapters(folder: &Path, code: &str) -> Adapters {
    Adapters::new(folder.join("rooms").join(code))
}

fn lock(folder: &Path) -> Result<File, ServerError> {
    let failed = |error: std::io::Error| ServerError::data_folder(folder, &error);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServerError::DataFolderTaken {
            path: folder.into(),
        }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
