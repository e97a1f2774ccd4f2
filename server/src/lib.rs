//! The server of LP-FL rooms: HTTP, WebSockets and storage around `fl_core`'s round machine.
//!
//! The entry is [`serve`]: the caller owns the socket and decides when it ends. Each room is a
//! task that owns its machine; everything else talks to it by messages.

mod adapters;
mod assets;
pub mod bundled;
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
mod store;
pub mod tls;
mod visitors;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::ServerConfig;
pub use error::ServerError;
pub use limits::{LimitError, LimitInfo, Limits};
pub use model_folder::ModelFolder;
pub use password::{NoPassword, Password};

use gate::{Gate, Peer};
use http::App;
use in_flight::Budget;
use learning::Library;
use metrics::Metrics;
use restore::restore;
use rooms::Rooms;
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
    store: StoreThread,
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
            limits,
        } = config;
        let opened = tokio::task::spawn_blocking(move || {
            let mut store = Store::open(&data_dir)?;
            let library = Library::open(&models)?;
            let stored = restore(&mut store, &library)?;
            let (store, thread) = store.start()?;
            Ok::<_, ServerError>((library, stored, store, thread))
        });
        let (library, stored, store, thread) = match opened.await {
            Ok(opened) => opened?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let library = Arc::new(library);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let metrics = Metrics::new();
        let rooms = Rooms::new(
            Arc::clone(&library),
            store,
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
            next_connection: Arc::new(AtomicU64::new(1)),
            ending: CancellationToken::new(),
            stop,
            tasks,
        };
        Ok(Self {
            app,
            store: thread,
            tls,
        })
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
        let stored = tokio::task::spawn_blocking(|| store.join());
        if timeout(drain, stored).await.is_err() {
            tracing::error!("the store did not end in time");
        }
        served
    }
}
