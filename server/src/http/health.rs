//! Whether the process lives, whether it wants work, and how it does.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fl_core::error::Fault;

use super::App;
use super::answer::Refusal;
use crate::metrics::{CONTENT_TYPE, Moment};

/// `GET /healthz`
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: not ready once the server is about to end.
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    match app.ending.is_cancelled() {
        true => (StatusCode::SERVICE_UNAVAILABLE, "ending\n"),
        false => (StatusCode::OK, "ok\n"),
    }
}

/// `GET /metrics`
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    let moment = Moment {
        in_flight: app.budget.in_use(),
        ..app.rooms.moment()
    };
    let text = app.metrics.text(moment);
    let text = text.map_err(|_| Fault::internal("The metrics could not be written."))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
