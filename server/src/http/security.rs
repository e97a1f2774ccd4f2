//! Headers that tell browsers what the page may do, and whose pages may open WebSockets.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; \
style-src 'self'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; \
worker-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Adds the headers to every answer.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let values = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in values {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// Whether a WebSocket may be opened: from the server's own pages, from allowed ones, and from
/// programs, which send no origin.
pub(crate) fn is_allowed_origin(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let own = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = origin.split_once("://").map(|(_, host)| host);
    let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
    matches!((host, own), (Some(host), Some(own)) if same(host, own))
        || allowed.iter().any(|allowed| same(allowed, origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origin: Option<&'static str>, list: &[String]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("room.example:8080"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        }
        is_allowed_origin(&headers, list)
    }

    #[test]
    fn own_and_listed_origins_may_connect() {
        assert!(allowed(None, &[]));
        assert!(allowed(Some("http://room.example:8080"), &[]));
        assert!(allowed(Some("https://ROOM.example:8080"), &[]));
        assert!(allowed(
            Some("https://a.example"),
            &["https://a.example".into()]
        ));
    }

    #[test]
    fn other_origins_may_not() {
        for origin in [
            "null",
            "http://room.example",
            "http://evil.example:8080",
            "",
        ] {
            assert!(
                !allowed(Some(origin), &["https://a.example".into()]),
                "{origin}"
            );
        }
    }
}
