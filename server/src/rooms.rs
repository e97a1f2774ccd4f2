//! All rooms of this server: making, finding and restoring them.

mod handle;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use fl_core::adapter::{Adapter, AdapterLayout};
use fl_core::codec::{FRAME_LIMIT, HEADER_LIMIT, KnownBody};
use fl_core::error::{Blame, Fault, FaultCode, SettingsError};
use fl_core::room::{Activity, Room};
use fl_core::settings::{RoomSettings, Start};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::{Bridge, Cluster, Found};
use crate::learning::Library;
use crate::limits::Limits;
use crate::metrics::{Metrics, Moment};
use crate::pace::Pace;
use crate::restore::RestoredRoom;
use crate::room_actor::Input;
use crate::secrets::{self, OwnerHash};
use crate::storage::Storage;
use crate::store::{NewRoom, Store};
use crate::visitors::{Visitors, Who};
use crate::workshop::{INBOX, Workshop};

pub(crate) use handle::RoomHandle;

/// Rooms whose adapters are evaluated at the same time.
const EVALUATIONS_AT_ONCE: usize = 1;
/// Rooms that are looked for in NATS at the same time.
const SEARCHES_AT_ONCE: usize = 16;
/// Bytes of an update's frame beside its values, where they are not known yet.
const OVERHEAD: usize = 1 << 20;
/// How long a search may take.
const SEARCH: Duration = Duration::from_secs(10);

/// Where rooms live.
pub(crate) enum Home {
    /// In this process, and on its disk.
    Disk(Store),
    /// In NATS, with the processes that share it.
    Nats(Cluster),
}

impl Home {
    /// The number of the first connection: connections of several processes have different ones.
    pub(crate) fn first_connection(&self) -> u64 {
        match self {
            Self::Disk(_) => 1,
            Self::Nats(cluster) => u64::from(cluster.process().0) << 32,
        }
    }
}

/// All rooms.
pub(crate) struct Rooms {
    workshop: Arc<Workshop>,
    home: Home,
    record: bool,
    visitors: Visitors,
    searches: Semaphore,
    by_code: RwLock<BTreeMap<String, RoomHandle>>,
    reserved: AtomicUsize,
    largest_frame: AtomicUsize,
}

/// A new room, as its creator is told of it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct Created {
    pub(crate) code: String,
    owner_token: String,
}

impl Rooms {
    /// No rooms yet; their tasks end at `stop` and are tracked by `tasks`.
    pub(crate) fn new(
        library: Arc<Library>,
        home: Home,
        record: bool,
        limits: Limits,
        metrics: Metrics,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let largest_frame = match &home {
            Home::Disk(_) => HEADER_LIMIT,
            // A connection comes before its room is looked for.
            Home::Nats(_) => {
                let most = limits.update_mib.saturating_mul(1 << 20) + OVERHEAD;
                most.min(FRAME_LIMIT)
            }
        };
        Self {
            home,
            record,
            visitors: Visitors::new(limits.clone()),
            workshop: Arc::new(Workshop {
                library,
                limits,
                metrics,
                turns: Arc::new(Semaphore::new(EVALUATIONS_AT_ONCE)),
                stop,
                tasks,
            }),
            searches: Semaphore::new(SEARCHES_AT_ONCE),
            by_code: RwLock::default(),
            reserved: AtomicUsize::new(0),
            largest_frame: AtomicUsize::new(largest_frame),
        }
    }

    /// How many rooms there are, and what waits for them and for the store.
    pub(crate) fn moment(&self) -> Moment {
        let by_code = self.by_code.read().unwrap_or_else(PoisonError::into_inner);
        let waiting = |room: &RoomHandle| room.inbox.max_capacity() - room.inbox.capacity();
        Moment {
            rooms: by_code.len(),
            room_queues: by_code.values().map(waiting).sum(),
            store_queue: match &self.home {
                Home::Disk(store) => store.waiting(),
                Home::Nats(_) => 0,
            },
            ..Moment::default()
        }
    }

    /// What each address may do here.
    pub(crate) fn visitors(&self) -> &Visitors {
        &self.visitors
    }

    /// Whether rooms can be led and found.
    pub(crate) fn are_reachable(&self) -> bool {
        match &self.home {
            Home::Disk(_) => true,
            Home::Nats(cluster) => cluster.is_connected(),
        }
    }

    /// The room with this code, in upper or lower case, for one who has not tried too many.
    pub(crate) async fn find(&self, who: Who, code: &str) -> Result<RoomHandle, Fault> {
        if let Home::Nats(cluster) = &self.home
            && self.room(code).is_err()
        {
            // Few at once: whoever tries many has to wait before all of them are looked for.
            let _turn = self.searches.acquire().await;
            self.visitors.attempt(who, || Ok(()))?;
            // Else another one has found it meanwhile.
            if self.room(code).is_err() {
                self.search(cluster, &code.trim().to_ascii_uppercase())
                    .await?;
            }
        }
        self.visitors.attempt(who, || self.room(code))
    }

    /// Opens a room that another process has made, if there is one of this code.
    async fn search(&self, cluster: &Cluster, code: &str) -> Result<(), Fault> {
        let found = timeout(SEARCH, cluster.find(code)).await;
        let found = found.unwrap_or_else(|_| Err("NATS did not answer in time".into()));
        let found = found.map_err(|error| {
            tracing::warn!(error, "a room could not be looked for");
            Fault::out_of_reach()
        })?;
        let Some(found) = found else { return Ok(()) };
        let model = self.workshop.library.models.find(&found.settings.model);
        if model.is_none_or(|model| model.info != found.model) {
            tracing::warn!(
                room = code,
                model = found.model.name,
                "this process does not offer the room's model; start all processes with the same --model"
            );
            return Err(Fault::internal(
                "This server does not have the room's model.",
            ));
        }
        self.open_shared(cluster, code, found);
        Ok(())
    }

    fn open_shared(&self, cluster: &Cluster, code: &str, found: Found) {
        let (inbox, inputs) = mpsc::channel(INBOX);
        let handle = self.handle(inbox, &found.settings, found.owner, found.global.layout());
        let bridge = Bridge {
            room: code.into(),
            cluster: cluster.clone(),
            settings: found.settings,
            workshop: Arc::clone(&self.workshop),
        };
        let mut by_code = self.by_code.write().unwrap_or_else(PoisonError::into_inner);
        // Else another search has opened it meanwhile.
        if !by_code.contains_key(code) {
            self.workshop.tasks.spawn(bridge.run(inputs));
            by_code.insert(code.into(), handle);
        }
    }

    fn room(&self, code: &str) -> Result<RoomHandle, Fault> {
        let wanted = code.trim().to_ascii_uppercase();
        let by_code = self.by_code.read().unwrap_or_else(PoisonError::into_inner);
        let found = by_code.get(&wanted).cloned();
        found.ok_or_else(|| Fault::unknown_room(code))
    }

    /// Most bytes of a frame in any room.
    pub(crate) fn largest_frame(&self) -> usize {
        self.largest_frame.load(Ordering::Relaxed)
    }

    /// Makes a room, durably.
    pub(crate) async fn create(&self, settings: RoomSettings) -> Result<Created, Fault> {
        let settings = settings.settled();
        self.check_capacity(&settings)?;
        self.check_mode(&settings)?;
        let place = self.reserve()?;
        let library = Arc::clone(&self.workshop.library);
        let (settings, made) = tokio::task::spawn_blocking(move || {
            let made = library
                .first_adapter(&settings)
                .and_then(|first| Ok((first, library.model(&settings)?.info.clone())));
            (settings, made)
        })
        .await
        .map_err(|_| Fault::internal("The first adapter could not be made."))?;
        let (first, model) = made?;
        self.check_update(&first.layout())?;
        let first = Arc::new(first);
        let owner_token = secrets::token()?;
        let owner = OwnerHash::of(&owner_token);
        let new = NewRoom {
            code: self.free_code()?,
            owner,
            settings: settings.clone(),
            model: model.clone(),
            activity: match settings.round.start {
                Start::Automatic => Activity::Running,
                Start::Manual => Activity::Paused,
            },
        };
        let code = self.store(new, &first).await.map_err(|error| {
            tracing::error!(error, "a new room could not be stored");
            Fault::internal("The new room could not be stored.")
        })?;
        tracing::info!(room = code, title = settings.title, "room opened");
        match &self.home {
            Home::Disk(store) => {
                let room = Room::new(code.clone(), settings, model, first);
                self.open(room, owner, store);
            }
            Home::Nats(cluster) => {
                let found = Found {
                    owner,
                    settings,
                    model,
                    global: first,
                };
                self.open_shared(cluster, &code, found);
            }
        }
        place.keep();
        Ok(Created { code, owner_token })
    }

    /// Makes a room durable; gives back its code.
    async fn store(&self, mut new: NewRoom, first: &Arc<Adapter>) -> Result<String, String> {
        match &self.home {
            Home::Disk(store) => {
                let config = self.workshop.library.adapter_config(&new.settings);
                let code = new.code.clone();
                store.create(new, config, Arc::clone(first)).await?;
                Ok(code)
            }
            Home::Nats(cluster) => {
                // Another process may have made a room of this code.
                while !cluster.create(new.clone(), first).await? {
                    new.code = self.free_code().map_err(|fault| fault.message)?;
                }
                Ok(new.code)
            }
        }
    }

    /// Brings rooms back that were stored on this machine.
    pub(crate) fn restore(&self, rooms: Vec<RestoredRoom>) {
        let Home::Disk(store) = &self.home else {
            return;
        };
        for RestoredRoom { state, owner } in rooms {
            self.reserved.fetch_add(1, Ordering::Relaxed);
            self.open(Room::restore(state), owner, store);
        }
    }

    fn open(&self, mut room: Room, owner: OwnerHash, store: &Store) {
        if self.record {
            room.say_recorded();
        }
        let code = room.code().to_owned();
        let layout = room.global().1.layout();
        let (inbox, messages) = mpsc::channel(INBOX);
        let handle = self.handle(inbox.clone(), room.settings(), owner, layout);
        let (storage, stop) = (Storage::Disk(store.clone()), self.workshop.stop.clone());
        self.workshop.start(room, storage, &inbox, messages, stop);
        let mut by_code = self.by_code.write().unwrap_or_else(PoisonError::into_inner);
        by_code.insert(code, handle);
    }

    fn handle(
        &self,
        inbox: mpsc::Sender<Input>,
        settings: &RoomSettings,
        owner: OwnerHash,
        layout: AdapterLayout,
    ) -> RoomHandle {
        let frame_limit = frame_limit(&layout);
        self.largest_frame.fetch_max(frame_limit, Ordering::Relaxed);
        let failures = self.workshop.limits.failed_hellos_per_room_and_minute;
        let failed = Pace::per_minute(failures, Instant::now());
        RoomHandle {
            inbox,
            owner,
            adapter_config: self.workshop.library.adapter_config(settings),
            frame_limit,
            body: Arc::new(KnownBody::of(layout)),
            recorded: self.record,
            failed: Arc::new(Mutex::new(failed)),
        }
    }

    fn check_capacity(&self, settings: &RoomSettings) -> Result<(), Fault> {
        let (most, got) = (
            self.workshop.limits.clients_per_room,
            settings.round.capacity,
        );
        if got <= most {
            return Ok(());
        }
        let range = format!("1 to {most}");
        Err(out_of_range("round.capacity", range, got.to_string()))
    }

    /// Sums of several processes are of one round: an update that began in an earlier one is
    /// discounted by the adapter that it began at, which only the room's own process has.
    fn check_mode(&self, settings: &RoomSettings) -> Result<(), Fault> {
        match &self.home {
            Home::Nats(_) if settings.round.mode.is_asynchronous() => {
                let expected = "synchronous, on a service of several processes (--nats)";
                let got = "asynchronous".to_owned();
                Err(out_of_range("round.mode", expected.into(), got))
            }
            Home::Disk(_) | Home::Nats(_) => Ok(()),
        }
    }

    fn check_update(&self, layout: &AdapterLayout) -> Result<(), Fault> {
        let most = self.workshop.limits.update_mib.saturating_mul(1 << 20);
        let got = layout.parameters() * 4;
        if got <= most {
            return Ok(());
        }
        let expected = format!("updates of up to {} MiB", self.workshop.limits.update_mib);
        let got = format!("{} MiB", got.div_ceil(1 << 20));
        Err(out_of_range("lora", expected, got))
    }

    fn free_code(&self) -> Result<String, Fault> {
        loop {
            let code = secrets::room_code()?;
            if self.room(&code).is_err() {
                return Ok(code);
            }
        }
    }

    fn reserve(&self) -> Result<Place<'_>, Fault> {
        let limit = self.workshop.limits.rooms;
        let more = |count| (count < limit).then_some(count + 1);
        match self
            .reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        {
            Ok(_) => Ok(Place(&self.reserved)),
            Err(_) => Err(Fault {
                code: FaultCode::Overloaded,
                blame: Blame::Nobody,
                message: format!("This server holds {limit} rooms, and no more fit."),
                mend: "Ask its operator to allow more rooms, or use another server.".into(),
            }),
        }
    }
}

/// A place for a room that is being made; given back unless kept.
struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn out_of_range(field: &str, expected: String, got: String) -> Fault {
    SettingsError {
        field: field.into(),
        expected,
        got,
    }
    .into()
}

/// Most bytes of a frame with an adapter of this layout: values, names with their safetensors
/// descriptions, and the header.
fn frame_limit(layout: &AdapterLayout) -> usize {
    const DESCRIPTION: usize = 160;
    let names: usize = layout
        .shapes
        .keys()
        .map(|name| name.len() + DESCRIPTION)
        .sum();
    let bytes = 4 + HEADER_LIMIT + 1024 + names + layout.parameters() * 4;
    bytes.min(FRAME_LIMIT)
}
