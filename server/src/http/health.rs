//! Whether the process lives, whether it wants work, and how it does.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fl_core::error::Fault;

use super::App;
use super::answer::Refusal;
use crate::metrics::{CONTENT_TYPE, Moment};

/// Whether the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    responses((status = 200, description = "It does", body = String))
)]
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Whether the server wants work: not once it is about to end, nor while it cannot reach NATS.
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "It does", body = String),
        (status = 503, description = "It is about to end, or cannot reach NATS", body = String),
    )
)]
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    match (app.ending.is_cancelled(), app.rooms.are_reachable()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "ending\n"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "NATS cannot be reached\n"),
        (false, true) => (StatusCode::OK, "ok\n"),
    }
}

/// Counts and measures for a monitoring system.
#[utoipa::path(
    get,
    path = "/metrics",
    responses((
        status = 200,
        description = "OpenMetrics' text format",
        body = String,
        content_type = "application/openmetrics-text",
    ))
)]
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let moment = Moment {
        in_flight: app.budget.in_use(),
        ..app.rooms.moment()
    };
    let text = app.metrics.text(moment);
    let text = text.map_err(|_| Fault::internal("The metrics could not be written."))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
