//! Who asks: the address at the other end, or the one that a trusted proxy names.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use fl_core::error::Fault;

use super::App;
use super::answer::Refusal;
use crate::gate::{Meter, Peer};
use crate::visitors::Who;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who asks, and over which connection.
pub(crate) struct Visitor {
    pub(crate) who: Who,
    pub(crate) meter: Arc<Meter>,
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let Some(ConnectInfo(Peer { address, meter })) =
            parts.extensions.get::<ConnectInfo<Peer>>().cloned()
        else {
            return Err(Fault::internal("The server does not know who asks.").into());
        };
        let named = app.trust_proxy.then(|| forwarded(&parts.headers)).flatten();
        let who = Who::from(named.unwrap_or(address.ip()));
        Ok(Self { who, meter })
    }
}

/// The last address that `X-Forwarded-For` lists: the one that the proxy itself saw. Those before
/// it are what its peer claims.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(FORWARDED_FOR).iter().next_back()?;
    let address = last.to_str().ok()?.rsplit(',').next()?.trim();
    let with_port = || address.parse::<SocketAddr>().map(|address| address.ip());
    address.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(values: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        forwarded(&headers).map(|address| address.to_string())
    }

    #[test]
    fn last_address_is_the_proxys_own() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["192.0.2.1"]).unwrap(), "192.0.2.1");
        assert_eq!(of(&["10.0.0.1, 192.0.2.2"]).unwrap(), "192.0.2.2");
        assert_eq!(of(&["10.0.0.1", "2001:db8::1"]).unwrap(), "2001:db8::1");
        assert_eq!(of(&["192.0.2.3:4711"]).unwrap(), "192.0.2.3");
        assert_eq!(of(&["[2001:db8::2]:80"]).unwrap(), "2001:db8::2");
        assert_eq!(of(&["192.0.2.1, unknown"]), None);
    }
}
