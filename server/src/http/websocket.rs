//! `/ws`: from an HTTP request to a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use fl_core::error::{Blame, Fault, FaultCode};
use fl_core::room::ConnectionId;

use super::App;
use super::answer::Refusal;
use super::security::is_allowed_origin;
use super::upgrade::Upgrade;
use super::visitor::Visitor;
use crate::socket::{self, Caller, WebSocket};

/// Frames a little above a room's limit are read, so that their sender gets a full answer.
const SLACK: usize = 64 * 1024;

/// Opens the WebSocket of a room's client.
#[utoipa::path(
    get,
    path = "/ws",
    responses(
        (status = 101, description = "The WebSocket is open"),
        (status = 403, description = "Pages of this origin may not connect", body = Fault),
        (status = 426, description = "The request asks for no WebSocket", body = Fault),
        (status = 503, description = "Too many connections, of all or of this address", body = Fault),
    )
)]
pub(crate) async fn open(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    upgrade: Result<Upgrade, Refusal>,
) -> Result<Response, Refusal> {
    let metrics = app.metrics.clone();
    let opened = upgrade.and_then(|upgrade| upgraded(app, visitor, &headers, upgrade));
    opened.inspect_err(|refusal| metrics.refused_connection(refusal.code()))
}

fn upgraded(
    app: App,
    Visitor { who, meter }: Visitor,
    headers: &HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Refusal> {
    if !is_allowed_origin(headers, &app.allowed_origins) {
        let fault = Fault {
            code: FaultCode::Malformed,
            blame: Blame::Client,
            message: "Pages of another origin may not connect to this server.".into(),
            mend: "Ask its operator to start it with --allow-origin and this page's origin.".into(),
        };
        return Err(Refusal::new(StatusCode::FORBIDDEN, fault));
    }
    let place = Arc::clone(&app.places).try_acquire_owned().map_err(|_| {
        let most = app.limits.connections;
        let message = format!("This server holds {most} connections, and no more fit.");
        Fault::overloaded(message)
    })?;
    let seat = app.rooms.visitors().seat(who)?;
    let connection = ConnectionId(app.next_connection.fetch_add(1, Ordering::Relaxed));
    let most = app.rooms.largest_frame() + SLACK;
    // Held until the socket ends, so that the server's end waits for its farewell.
    let tracked = app.tasks.token();
    Ok(upgrade.answer(move |transport| async move {
        meter.await_little();
        let caller = Caller {
            connection,
            who,
            meter,
            metrics: app.metrics,
        };
        let socket = WebSocket::new(transport, most);
        socket::serve(socket, caller, app.rooms, app.limits, app.stop).await;
        drop((place, seat, tracked));
    }))
}
