//! The HTTP interface: which path leads where.

mod answer;
mod files;
mod health;
mod page;
mod rooms;
mod security;
mod visitor;
mod websocket;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{any, delete, get, post};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

use crate::in_flight::Budget;
use crate::learning::Library;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::password::Password;
use crate::rooms::Rooms;

/// Most bytes of a request's body.
const BODY_LIMIT: usize = 32 * 1024;
/// What weights travel as; they do not shrink.
const BINARY: &str = "application/octet-stream";

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) library: Arc<Library>,
    pub(crate) limits: Limits,
    /// See [`crate::ServerConfig::trust_proxy`].
    pub(crate) trust_proxy: bool,
    pub(crate) password: Option<Password>,
    pub(crate) allowed_origins: Arc<[String]>,
    /// Places for WebSockets.
    pub(crate) places: Arc<Semaphore>,
    /// Memory for updates under way.
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    pub(crate) next_connection: Arc<AtomicU64>,
    /// Told at the beginning of the end.
    pub(crate) ending: CancellationToken,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// All paths.
pub(crate) fn router(app: App) -> Router {
    let shrinks = DefaultPredicate::new()
        .and(NotForContentType::const_new(BINARY))
        .and(NotForContentType::const_new("application/zip"));
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/ws", any(websocket::open))
        .route("/api/defaults", get(rooms::defaults))
        .route("/api/rooms", post(rooms::create))
        .route("/api/rooms/{code}", get(rooms::inspect))
        .route("/api/rooms/{code}/start", post(rooms::start))
        .route("/api/rooms/{code}/pause", post(rooms::pause))
        .route("/api/rooms/{code}/next", post(rooms::next))
        .route("/api/rooms/{code}/finish", post(rooms::finish))
        .route("/api/rooms/{code}/clients/{client}", delete(rooms::remove))
        .route("/api/rooms/{code}/adapter", get(files::adapter_zip))
        .route("/api/rooms/{code}/adapter/{file}", get(files::adapter))
        .route("/api/models/{name}/{file}", get(files::model))
        .route("/api/corpora/{name}/{file}", get(files::corpus))
        .route("/api/{*rest}", any(answer::unknown_path))
        .fallback(page::serve)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CompressionLayer::new().compress_when(shrinks))
        .layer(from_fn(security::headers))
        .with_state(app)
}
