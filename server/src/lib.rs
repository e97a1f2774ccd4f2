//! The server of LP-FL rooms: HTTP, WebSockets and storage around `fl_core`'s round machine.
//!
//! The entry is [`serve`]: the caller owns the socket and decides when it ends. Each room is a
//! task that owns its machine; everything else talks to it by messages.

mod adapters;
mod assets;
pub mod bundled;
mod cluster;
mod config;
mod corpora;
mod database;
mod error;
mod evaluation;
mod gate;
mod http;
mod in_flight;
mod learning;
mod limits;
mod metrics;
pub mod model_folder;
mod models;
mod outbox;
mod pace;
mod password;
pub mod recording;
mod restore;
mod room_actor;
mod rooms;
mod secrets;
mod socket;
mod storage;
mod store;
pub mod tls;
mod visitors;
mod workshop;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{Nats, ServerConfig};
pub use error::ServerError;
pub use limits::{LimitError, LimitInfo, Limits};
pub use model_folder::ModelFolder;
pub use password::{NoPassword, Password};

use cluster::Cluster;
use gate::{Gate, Peer};
use http::App;
use in_flight::Budget;
use learning::Library;
use metrics::Metrics;
use restore::{RestoredRoom, restore};
use rooms::{Home, Rooms};
use store::{Store, StoreThread};
use tls::{Identity, TlsListener};

/// Opens a server and runs it: [`Server::open`] and [`Server::serve`] in one.
///
/// # Errors
/// [`ServerError`] when models, texts or stored rooms cannot be read, or the listener fails.
pub async fn serve(
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
    config: ServerConfig,
) -> Result<(), ServerError> {
    Server::open(config).await?.serve(listener, shutdown).await
}

/// A server whose models, texts and rooms are there.
pub struct Server {
    app: App,
    /// Where rooms live on this machine.
    store: Option<StoreThread>,
    tls: Option<Identity>,
}

impl Server {
    /// Reads models, texts and stored rooms, whose tasks begin.
    ///
    /// # Errors
    /// [`ServerError`] for whatever cannot be read, with the mend.
    pub async fn open(config: ServerConfig) -> Result<Self, ServerError> {
        let ServerConfig {
            data_dir,
            models,
            allowed_origins,
            trust_proxy,
            password,
            tls,
            record,
            nats,
            limits,
        } = config;
        if record && nats.is_some() {
            return Err(ServerError::RecordedInNats);
        }
        let (library, home, stored, store) = match nats {
            Some(nats) => open_shared(&nats, models).await?,
            None => open_alone(data_dir, models).await?,
        };
        let first_connection = home.first_connection();
        let library = Arc::new(library);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let metrics = Metrics::new();
        let rooms = Rooms::new(
            Arc::clone(&library),
            home,
            record,
            limits.clone(),
            metrics.clone(),
            stop.clone(),
            tasks.clone(),
        );
        rooms.restore(stored);
        let app = App {
            rooms: Arc::new(rooms),
            library,
            places: Arc::new(Semaphore::new(limits.connections)),
            budget: Budget::new(limits.updates_in_flight_mib),
            limits,
            metrics,
            trust_proxy,
            password,
            allowed_origins: allowed_origins.into(),
            next_connection: Arc::new(AtomicU64::new(first_connection)),
            ending: CancellationToken::new(),
            stop,
            tasks,
        };
        Ok(Self { app, store, tls })
    }

    /// Serves until `shutdown` resolves, then ends in order: a word to load balancers, no new work, a
    /// farewell on every connection, and everything stored.
    ///
    /// # Errors
    /// [`ServerError::Listener`] when the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServerError> {
        let Self { app, store, tls } = self;
        let (stop, tasks, drain) = (app.stop.clone(), app.tasks.clone(), app.limits.drain);
        let (ending, notice) = (app.ending.clone(), app.limits.notice);
        let asked = stop.clone();
        let ended = async move {
            shutdown.await;
            ending.cancel();
            sleep(notice).await;
            asked.cancel();
        };
        let (budget, metrics) = (app.budget.clone(), app.metrics.clone());
        let patience = app.limits.handshake;
        let service = http::router(app).into_make_service_with_connect_info::<Peer>();
        let server: Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>> = match tls {
            Some(identity) => {
                let listener = Gate::new(
                    TlsListener::new(listener, &identity, patience),
                    budget,
                    metrics,
                );
                let server = axum::serve(listener, service);
                Box::pin(server.with_graceful_shutdown(ended).into_future())
            }
            None => {
                // Small frames must not wait for more.
                let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
                let server = axum::serve(Gate::new(listener, budget, metrics), service);
                Box::pin(server.with_graceful_shutdown(ended).into_future())
            }
        };
        let served = tokio::select! {
            served = server => served.map_err(ServerError::Listener),
            // Downloads that go on do not hold the end up for ever.
            () = async { stop.cancelled().await; sleep(drain).await } => Ok(()),
        };
        stop.cancel();
        tasks.close();
        if timeout(drain, tasks.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        // The rooms' tasks are over, and with them every way to the store.
        let stored = tokio::task::spawn_blocking(|| store.map(StoreThread::join));
        if timeout(drain, stored).await.is_err() {
            tracing::error!("the store did not end in time");
        }
        served
    }
}

/// What a server is opened from: models and texts, where rooms live, those that were stored, and
/// the thread that stores.
type Opened = (Library, Home, Vec<RestoredRoom>, Option<StoreThread>);

/// Opens what a server on its own has.
async fn open_alone(data_dir: PathBuf, models: Vec<PathBuf>) -> Result<Opened, ServerError> {
    unblocked(move || {
        let mut store = Store::open(&data_dir)?;
        let library = Library::open(&models)?;
        let stored = restore(&mut store, &library)?;
        let (store, thread) = store.start()?;
        Ok((library, Home::Disk(store), stored, Some(thread)))
    })
    .await
}

/// Opens what one of several processes has. Rooms are looked for when somebody wants them.
async fn open_shared(nats: &Nats, models: Vec<PathBuf>) -> Result<Opened, ServerError> {
    let cluster = Cluster::connect(nats).await?;
    let library = unblocked(move || Library::open(&models)).await?;
    Ok((library, Home::Nats(cluster), Vec::new(), None))
}

/// Runs what blocks on a thread of its own.
async fn unblocked<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
) -> Result<T, ServerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
