//! From an HTTP request to a WebSocket (RFC 6455, section 4.2).
//!
//! axum's own extractor is not used: its sockets copy every frame into a buffer of each connection
//! that never shrinks, a broadcast adapter thousands of times.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use fl_core::error::Fault;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::answer::Refusal;

/// The transport of an upgraded connection.
pub(crate) type Transport = TokioIo<hyper::upgrade::Upgraded>;

/// A request that asks for a WebSocket and can have one.
pub(crate) struct Upgrade {
    accept: HeaderValue,
    transport: OnUpgrade,
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        Self::of(parts).map_err(|lack| {
            let message = format!("This path takes WebSockets only: {lack}.");
            Refusal::new(StatusCode::UPGRADE_REQUIRED, Fault::malformed(message))
        })
    }
}

impl Upgrade {
    fn of(parts: &mut Parts) -> Result<Self, &'static str> {
        let headers = &parts.headers;
        if parts.method != Method::GET {
            return Err("the method is not GET");
        }
        if !lists(headers, &CONNECTION, "upgrade") || !lists(headers, &UPGRADE, "websocket") {
            return Err("the request has no “Connection: upgrade” and “Upgrade: websocket”");
        }
        let version = headers.get(SEC_WEBSOCKET_VERSION);
        if version.is_none_or(|version| version.as_bytes() != b"13") {
            return Err("Sec-WebSocket-Version is not 13");
        }
        let key = headers.get(SEC_WEBSOCKET_KEY);
        let key = key.ok_or("Sec-WebSocket-Key is missing")?;
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        // Base64 is fit for a header.
        let accept = HeaderValue::from_str(&accept).map_err(|_| "its key cannot be used")?;
        let transport = parts.extensions.remove::<OnUpgrade>();
        let transport = transport.ok_or("the connection cannot be upgraded")?;
        Ok(Self { accept, transport })
    }

    /// The answer; `serve` runs when the peer has it.
    pub(crate) fn answer<F>(self, serve: impl FnOnce(Transport) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { accept, transport } = self;
        tokio::spawn(async move {
            // Else the peer is gone already.
            if let Ok(upgraded) = transport.await {
                serve(TokioIo::new(upgraded)).await;
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        response
    }
}

/// Whether one of the header's comma-separated words is this one.
fn lists(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut words = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','));
    words.any(|found| found.trim().eq_ignore_ascii_case(word))
}
