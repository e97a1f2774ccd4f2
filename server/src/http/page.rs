//! The page and what it loads.

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};

use crate::assets::{self, Page};
use crate::secrets::hexadecimal;

const INDEX: &str = "index.html";
/// Vite names these by their content, so a name's content never changes.
const HASHED: &str = "assets/";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const CHECKED: &str = "no-cache";

const NOT_BUILT: &str = "<!doctype html><meta charset=utf-8><title>LP-FL</title>\
<p>The server runs, but its page has not been built. \
<code>cargo xtask demo</code> builds and serves it; rooms and the HTTP interface work without.";

/// Everything that no other path takes: a file of the page, or the page itself for its own paths.
pub(crate) async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Page::get(path).filter(|_| !path.is_empty()) {
        return asset(path, file, &headers);
    }
    let is_page = path.is_empty() || path.starts_with("r/");
    match Page::get(INDEX) {
        Some(file) if is_page => asset(INDEX, file, &headers),
        None if is_page => Html(NOT_BUILT).into_response(),
        _ => (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response(),
    }
}

fn asset(path: &str, file: rust_embed::EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", hexadecimal(&file.metadata.sha256_hash()));
    let known = headers.get(header::IF_NONE_MATCH);
    let known = known.and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.trim_start_matches("W/") == tag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let lifetime = match path.starts_with(HASHED) {
        true => FOR_EVER,
        false => CHECKED,
    };
    let headers = [
        (header::CONTENT_TYPE, content_type(path).to_owned()),
        (header::CACHE_CONTROL, lifetime.to_owned()),
        (header::ETAG, tag),
    ];
    (headers, assets::content(file)).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wasm_has_the_type_that_streaming_compilation_needs() {
        assert_eq!(content_type("assets/client_bg-x1.wasm"), "application/wasm");
        assert!(content_type("assets/index-x1.js").starts_with("text/javascript"));
        assert_eq!(content_type("strange"), "application/octet-stream");
    }
}
