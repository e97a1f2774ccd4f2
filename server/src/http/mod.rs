//! The HTTP interface: which path leads where.

mod answer;
mod document;
mod files;
mod health;
mod page;
mod rooms;
mod security;
mod upgrade;
mod visitor;
mod websocket;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::any;
use axum::{Extension, Router};
use fl_core::codec;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::in_flight::Budget;
use crate::learning::Library;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::password::Password;
use crate::rooms::Rooms;

use document::{Described, Document};

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
    let described = OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(websocket::open))
        .routes(routes!(document::document))
        .routes(routes!(rooms::defaults))
        .routes(routes!(rooms::create))
        .routes(routes!(rooms::inspect))
        .routes(routes!(rooms::start))
        .routes(routes!(rooms::pause))
        .routes(routes!(rooms::next))
        .routes(routes!(rooms::finish))
        .routes(routes!(rooms::remove))
        .routes(routes!(files::adapter_zip))
        .routes(routes!(files::adapter))
        .routes(routes!(files::model))
        .routes(routes!(files::corpus));
    let (router, described) = described.split_for_parts();
    let document = Document(codec::encode_text(&described).into());
    router
        // The two that take what no other path does.
        .route("/api/{*rest}", any(answer::unknown_path))
        .fallback(page::serve)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(Extension(document))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CompressionLayer::new().compress_when(shrinks))
        .layer(from_fn(security::headers))
        .with_state(app)
}
