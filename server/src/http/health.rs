//! Whether the process lives, and whether it wants work.

use axum::extract::State;
use axum::http::StatusCode;

use super::App;

/// `GET /healthz`
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: not ready once the server is about to end.
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    match app.stop.is_cancelled() {
        true => (StatusCode::SERVICE_UNAVAILABLE, "ending\n"),
        false => (StatusCode::OK, "ok\n"),
    }
}
