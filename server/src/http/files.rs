//! Downloads: base models, texts, and rooms' adapters.

use std::io::{Cursor, Write};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fl_core::error::Fault;
use learner::peft;
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::answer::Refusal;
use super::rooms::ask;
use super::visitor::Visitor;
use super::{App, BINARY};
use crate::models::Content;
use crate::room_actor::Input;
use crate::secrets::hexadecimal;

const JSON: &str = "application/json";
const ZIP: &str = "application/zip";
const CSV: &str = "text/csv; charset=utf-8";
/// Asked again each time, and answered “not modified” while the tag is the same.
const CHECKED: &str = "no-cache";

/// A file of a base model.
#[utoipa::path(
    get,
    path = "/api/models/{name}/{file}",
    params(
        ("name" = String, Path, description = "The model's name"),
        ("file" = String, Path, description = "One of the files that the model lists"),
    ),
    responses(
        (status = 200, description = "The file", content(
            (String = "application/json"),
            (Vec<u8> = "application/octet-stream"),
        )),
        (status = 304, description = "The file with the tag that the request names"),
        (status = 404, description = "No such model or file", body = Fault),
    )
)]
pub(crate) async fn model(
    State(app): State<App>,
    Path((name, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let model = app.library.models.find(&name);
    let (info, content) = model
        .and_then(|model| model.file(&file))
        .ok_or_else(|| Refusal::not_found("such model file"))?;
    let kind = if file.ends_with(".json") {
        JSON
    } else {
        BINARY
    };
    if let Some(unmodified) = unmodified(&headers, &info.sha256) {
        return Ok(unmodified);
    }
    let body = match content {
        Content::Bytes(bytes) => Body::from(bytes),
        Content::File(path) => {
            let file = tokio::fs::File::open(&path).await.map_err(|error| {
                tracing::error!(path = %path.display(), %error, "model file");
                Fault::internal("The model's file cannot be read.")
            })?;
            Body::from_stream(ReaderStream::with_capacity(file, 64 * 1024))
        }
    };
    let mut response = tagged(kind, &info.sha256, body);
    let length = HeaderValue::from(info.bytes);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, length);
    Ok(response)
}

/// Bundled texts.
#[utoipa::path(
    get,
    path = "/api/corpora/{name}/{file}",
    params(
        ("name" = String, Path, description = "The texts' name"),
        ("file" = String, Path, description = "train.csv or test.csv"),
    ),
    responses(
        (status = 200, description = "The texts", body = String, content_type = "text/csv"),
        (status = 304, description = "The texts with the tag that the request names"),
        (status = 404, description = "No such texts", body = Fault),
    )
)]
pub(crate) async fn corpus(
    State(app): State<App>,
    Path((name, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let corpus = app.library.corpora.find(&name);
    let content = corpus.and_then(|corpus| match file.as_str() {
        "train.csv" => Some(corpus.train.clone()),
        "test.csv" => Some(corpus.test.clone()),
        _ => None,
    });
    let content = content.ok_or_else(|| Refusal::not_found("such texts"))?;
    let tag = hexadecimal(&Sha256::digest(&content));
    Ok(unmodified(&headers, &tag).unwrap_or_else(|| tagged(CSV, &tag, content.into())))
}

/// A file of the room's newest global adapter, in PEFT's format.
#[utoipa::path(
    get,
    path = "/api/rooms/{code}/adapter/{file}",
    params(
        ("code" = String, Path, description = "The room's code, in upper or lower case"),
        ("file" = String, Path, description = "adapter_config.json or adapter_model.safetensors"),
    ),
    responses(
        (status = 200, description = "The file", content(
            (String = "application/json"),
            (Vec<u8> = "application/octet-stream"),
        )),
        (status = 304, description = "The file with the tag that the request names"),
        (status = 404, description = "No such room or file", body = Fault),
        (status = 429, description = "Too many wrong codes came from this address", body = Fault),
    )
)]
pub(crate) async fn adapter(
    State(app): State<App>,
    visitor: Visitor,
    Path((code, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let room = app.rooms.find(visitor.who, &code).await?;
    match file.as_str() {
        peft::CONFIG => {
            let config = room.adapter_config;
            let tag = hexadecimal(&Sha256::digest(&config));
            Ok(attached(tagged(JSON, &tag, config.into()), peft::CONFIG))
        }
        peft::WEIGHTS => {
            let (round, adapter, hash) = ask(&room, |answer| Input::Global { answer }).await?;
            let tag = hash.to_string();
            if let Some(unmodified) = unmodified(&headers, &tag) {
                return Ok(unmodified);
            }
            let encoded = tokio::task::spawn_blocking(move || peft::weights(&adapter));
            let bytes = encoded
                .await
                .map_err(|_| Fault::internal("The adapter could not be written."))?;
            let mut response = attached(tagged(BINARY, &tag, bytes.into()), peft::WEIGHTS);
            let round = HeaderValue::from(round);
            response.headers_mut().insert("lpfl-round", round);
            Ok(response)
        }
        _ => Err(Refusal::not_found("such adapter file")),
    }
}

/// The room's newest global adapter: both of PEFT's files in a zip.
#[utoipa::path(
    get,
    path = "/api/rooms/{code}/adapter",
    params(("code" = String, Path, description = "The room's code, in upper or lower case")),
    responses(
        (status = 200, description = "The zip", body = Vec<u8>, content_type = "application/zip"),
        (status = 404, description = "No room has this code", body = Fault),
        (status = 429, description = "Too many wrong codes came from this address", body = Fault),
    )
)]
pub(crate) async fn adapter_zip(
    State(app): State<App>,
    visitor: Visitor,
    Path(code): Path<String>,
) -> Result<Response, Refusal> {
    let room = app.rooms.find(visitor.who, &code).await?;
    let (round, adapter, hash) = ask(&room, |answer| Input::Global { answer }).await?;
    let config = room.adapter_config;
    let zipped = tokio::task::spawn_blocking(move || {
        let weights = peft::weights(&adapter);
        zip(&[(peft::CONFIG, &config), (peft::WEIGHTS, &weights)])
    });
    let bytes = zipped
        .await
        .map_err(|error| error.to_string())
        .and_then(|zip| zip.map_err(|error| error.to_string()))
        .map_err(|error| {
            tracing::error!(%error, "adapter zip");
            Fault::internal("The adapter could not be packed.")
        })?;
    let name = format!("lpfl-{}-round-{round}.zip", code.to_ascii_uppercase());
    Ok(attached(
        tagged(ZIP, &hash.to_string(), bytes.into()),
        &name,
    ))
}

fn zip(files: &[(&str, &[u8])]) -> ZipResult<Vec<u8>> {
    // Trained values do not shrink.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

fn unmodified(headers: &HeaderMap, tag: &str) -> Option<Response> {
    let known = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
    // A compressing layer or proxy makes the tag a weak one.
    let is_it = |known: &str| known.trim().trim_start_matches("W/").trim_matches('"') == tag;
    known
        .split(',')
        .any(is_it)
        .then(|| StatusCode::NOT_MODIFIED.into_response())
}

fn tagged(kind: &'static str, tag: &str, body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CACHE_CONTROL, CHECKED.to_owned()),
        (header::ETAG, format!("\"{tag}\"")),
    ];
    (headers, body).into_response()
}

/// Makes browsers save the file under its name.
fn attached(mut response: Response, name: &str) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    if let Ok(disposition) = disposition.try_into() {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}
