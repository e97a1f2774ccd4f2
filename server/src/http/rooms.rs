//! Rooms over HTTP: open, inspect, control.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fl_core::error::{Blame, Fault, FaultCode};
use fl_core::protocol::{ClientId, ModelInfo};
use fl_core::room::OwnerCommand;
use fl_core::settings::{RoomSettings, no_extra_fields};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use utoipa::ToSchema;

use super::answer::{Refusal, json, json_text};
use super::visitor::Visitor;
use super::{App, BODY_LIMIT};
use crate::corpora::CorpusInfo;
use crate::room_actor::{Input, Inspection};
use crate::rooms::{Created, RoomHandle};

#[derive(Serialize, ToSchema)]
struct Defaults<'a> {
    settings: RoomSettings,
    models: Vec<&'a ModelInfo>,
    corpora: Vec<&'a CorpusInfo>,
}

/// What a room begins with, and what this server has.
#[utoipa::path(
    get,
    path = "/api/defaults",
    responses((status = 200, description = "Default settings, models and texts", body = Defaults))
)]
pub(crate) async fn defaults(State(app): State<App>) -> Response {
    let models: Vec<&ModelInfo> = app.library.models.iter().map(|model| &model.info).collect();
    let mut settings = RoomSettings::default();
    // A program without a model of its own offers the operator's alone.
    if let Some(first) = models.first()
        && !models.iter().any(|model| model.name == settings.model)
    {
        settings.model.clone_from(&first.name);
    }
    json(&Defaults {
        settings,
        models,
        corpora: app
            .library
            .corpora
            .iter()
            .map(|corpus| &corpus.info)
            .collect(),
    })
}

/// Opens a room. What the settings leave out has its default.
#[utoipa::path(
    post,
    path = "/api/rooms",
    request_body = RoomSettings,
    security((), ("password" = [])),
    responses(
        (status = 201, description = "The room is open. The token is shown this once", body = Created),
        (status = 400, description = "The settings are none, or one is out of range", body = Fault),
        (status = 401, description = "The server's password is needed", body = Fault),
        (status = 413, description = "The settings are too long", body = Fault),
        (status = 429, description = "Too many rooms were opened from this address", body = Fault),
        (status = 503, description = "The server holds no more rooms", body = Fault),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    check_password(&app, &visitor, &headers)?;
    // Another site's form cannot send this type, so no page opens rooms behind its visitor's back.
    let json_type = |value: &header::HeaderValue| value.as_bytes().starts_with(b"application/json");
    if !headers.get(header::CONTENT_TYPE).is_some_and(json_type) {
        let message = "The request's content type is not application/json.";
        return Err(bad_request(message.into(), "Send the settings as JSON."));
    }
    let body = body.map_err(|_| Fault {
        code: FaultCode::Oversized,
        blame: Blame::Client,
        message: format!("The settings have more than {BODY_LIMIT} bytes."),
        mend: "Shorten the task.".into(),
    })?;
    // An object, not a list: serde would take a struct's fields by position too.
    let object = serde_json::from_slice::<Map<_, _>>(&body);
    let unreadable = |error: serde_json::Error| {
        bad_request(
            format!("The request is not a room's settings: {error}."),
            "Compare it with the settings in /api/defaults.",
        )
    };
    let given = Value::Object(object.map_err(unreadable)?);
    let settings = RoomSettings::deserialize(&given).map_err(unreadable)?;
    no_extra_fields(&given, &settings).map_err(Fault::from)?;
    app.rooms.visitors().open_room(visitor.who)?;
    let created = app.rooms.create(settings).await?;
    Ok((StatusCode::CREATED, json(&created)).into_response())
}

/// The secret that a request carries.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ")
}

/// Lets those through who know the password, where there is one. A wrong one counts as a wrong
/// code does.
fn check_password(app: &App, visitor: &Visitor, headers: &HeaderMap) -> Result<(), Fault> {
    let Some(password) = &app.password else {
        return Ok(());
    };
    let given = bearer(headers).ok_or_else(Fault::password_needed)?;
    app.rooms.visitors().attempt(visitor.who, || {
        let is_it = password.matches(given);
        is_it.then_some(()).ok_or_else(Fault::password_needed)
    })
}

fn bad_request(message: String, mend: &str) -> Refusal {
    let mend = mend.into();
    Refusal::from(Fault {
        code: FaultCode::BadSettings,
        blame: Blame::Client,
        message,
        mend,
    })
}

/// What there is to know about a room.
#[utoipa::path(
    get,
    path = "/api/rooms/{code}",
    params(("code" = String, Path, description = "The room's code, in upper or lower case")),
    responses(
        (status = 200, description = "The room", body = Inspection),
        (status = 404, description = "No room has this code", body = Fault),
        (status = 429, description = "Too many wrong codes came from this address", body = Fault),
    )
)]
pub(crate) async fn inspect(
    State(app): State<App>,
    visitor: Visitor,
    Path(code): Path<String>,
) -> Result<Response, Refusal> {
    let room = app.rooms.find(visitor.who, &code).await?;
    ask(&room, |answer| Input::Inspect { answer })
        .await
        .map(json_text)
}

/// Starts the room, or lets it go on after a pause.
#[utoipa::path(
    post,
    path = "/api/rooms/{code}/start",
    params(("code" = String, Path, description = "The room's code, in upper or lower case")),
    security(("owner" = [])),
    responses(
        (status = 204, description = "Done"),
        (status = 403, description = "Not the owner's token", body = Fault),
        (status = 404, description = "No room has this code", body = Fault),
        (status = 409, description = "It makes no sense now", body = Fault),
        (status = 429, description = "Too many wrong codes came from this address", body = Fault),
    )
)]
pub(crate) async fn start(
    State(app): State<App>,
    visitor: Visitor,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    command(&app, &visitor, &code, &headers, OwnerCommand::Start).await
}

/// Pauses the room: the round that runs ends as usual, and no further one starts.
#[utoipa::path(
    post,
    path = "/api/rooms/{code}/pause",
    params(("code" = String, Path, description = "The room's code, in upper or lower case")),
    security(("owner" = [])),
    responses(
        (status = 204, description = "Done"),
        (status = 403, description = "Not the owner's token", body = Fault),
        (status = 404, description = "No room has this code", body = Fault),
        (status = 409, description = "It makes no sense now", body = Fault),
        (status = 429, description = "Too many wrong codes came from this address", body = Fault),
    )
)]
pub(crate) async fn pause(
    State(app): State<App>,
    visitor: Visitor,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    command(&app, &visitor, &code, &headers, OwnerCommand::Pause).await
}

/// Ends the round that runs with the updates it has, or starts one without waiting for more
/// clients.
#[utoipa::path(
    post,
    path = "/api/rooms/{code}/next",
    params(("code" = String, Path, description = "The room's code, in upper or lower case")),
    security(("owner" = [])),
    responses(
        (status = 204, description = "Done"),
        (status = 403, description = "Not the owner's token", body = Fault),
        (status = 404, description = "No room has this code", body = Fault),
        (status = 409, description = "It makes no sense now", body = Fault),
        (status = 429, description = "Too many wrong codes came from this address", body = Fault),
    )
)]
pub(crate) async fn next(
    State(app): State<App>,
    visitor: Visitor,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    command(&app, &visitor, &code, &headers, OwnerCommand::NextRound).await
}

/// Finishes the room.
#[utoipa::path(
    post,
    path = "/api/rooms/{code}/finish",
    params(("code" = String, Path, description = "The room's code, in upper or lower case")),
    security(("owner" = [])),
    responses(
        (status = 204, description = "Done"),
        (status = 403, description = "Not the owner's token", body = Fault),
        (status = 404, description = "No room has this code", body = Fault),
        (status = 409, description = "It makes no sense now", body = Fault),
        (status = 429, description = "Too many wrong codes came from this address", body = Fault),
    )
)]
pub(crate) async fn finish(
    State(app): State<App>,
    visitor: Visitor,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    command(&app, &visitor, &code, &headers, OwnerCommand::Finish).await
}

/// Removes a client from the room.
#[utoipa::path(
    delete,
    path = "/api/rooms/{code}/clients/{client}",
    params(("code" = String, Path, description = "The room's code, in upper or lower case"), ("client" = ClientId, Path, description = "The client's number")),
    security(("owner" = [])),
    responses(
        (status = 204, description = "Done"),
        (status = 403, description = "Not the owner's token", body = Fault),
        (status = 404, description = "No such room or client", body = Fault),
        (status = 429, description = "Too many wrong codes came from this address", body = Fault),
    )
)]
pub(crate) async fn remove(
    State(app): State<App>,
    visitor: Visitor,
    Path((code, client)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let Ok(client) = client.parse() else {
        return Err(Refusal::not_found("client with such a number"));
    };
    command(
        &app,
        &visitor,
        &code,
        &headers,
        OwnerCommand::Remove(ClientId(client)),
    )
    .await
}

async fn command(
    app: &App,
    visitor: &Visitor,
    code: &str,
    headers: &HeaderMap,
    command: OwnerCommand,
) -> Result<StatusCode, Refusal> {
    let room = app.rooms.find(visitor.who, code).await?;
    let is_owner = bearer(headers).is_some_and(|token| room.owner.matches(token));
    let owner = || is_owner.then_some(()).ok_or_else(Fault::not_owner);
    app.rooms.visitors().attempt(visitor.who, owner)?;
    ask(&room, |answer| Input::Command { command, answer }).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a room's task.
pub(crate) async fn ask<T>(
    room: &RoomHandle,
    question: impl FnOnce(oneshot::Sender<T>) -> Input,
) -> Result<T, Refusal> {
    let (answer, answered) = oneshot::channel();
    let ended = || Fault::internal("The room's task has ended.");
    let sent = room.inbox.send(question(answer)).await;
    sent.map_err(|_| ended())?;
    answered.await.map_err(|_| ended().into())
}
