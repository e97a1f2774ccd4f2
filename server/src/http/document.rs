//! The description of the HTTP interface, made from the handlers themselves.

use axum::body::Bytes;
use axum::extract::Extension;
use axum::response::Response;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::answer::json_text;

/// What describes the interface as a whole; the paths add themselves.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "lpfl",
        description = "Rooms for federated learning of a language model. Clients of a room speak \
                       the WebSocket protocol of PROTOCOL.md on /ws. Every refusal is a Fault."
    ),
    modifiers(&Secrets)
)]
pub(crate) struct Described;

/// The document as text.
#[derive(Clone, Debug)]
pub(crate) struct Document(pub(crate) Bytes);

struct Secrets;

impl Modify for Secrets {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let secrets = [
            ("owner", "The owner's token of the room"),
            ("password", "The server's password, where it has one"),
        ];
        for (name, description) in secrets {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(description.into());
            components.add_security_scheme(name, SecurityScheme::Http(scheme));
        }
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    responses((status = 200, description = "An OpenAPI document", body = serde_json::Value))
)]
pub(crate) async fn document(Extension(Document(text)): Extension<Document>) -> Response {
    json_text(text)
}
