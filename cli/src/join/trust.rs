//! Which server a client trusts: one that an authority vouches for, or the one with a fingerprint.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use ureq::http::Uri;

use super::pin::{self, Fingerprint};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// The rules that replace the usual ones, where a fingerprint is given.
///
/// # Errors
/// When there is no TLS that the fingerprint could speak of, or when the server is there and is
/// another one, or none that an authority vouches for. A server that is not there is not this
/// module's business.
pub async fn settle(origin: &str, pin: Option<Fingerprint>) -> Result<Option<Arc<ClientConfig>>> {
    let address: Uri = origin
        .parse()
        .with_context(|| format!("{origin:?} is no address"))?;
    let secure = address.scheme_str() == Some("https");
    let pinned = pin.map(pin::client_config).transpose()?;
    match (secure, &pinned) {
        (false, Some(_)) => bail!("--tls-fingerprint needs an https address, got {origin}"),
        (false, None) => {}
        (true, Some(config)) => check(&address, Arc::clone(config), "name the fingerprint that the server printed, if you trust this one").await?,
        (true, None) => check(&address, usual()?, "if the server signed its certificate itself, add --tls-fingerprint with what it printed").await?,
    }
    Ok(pinned)
}

/// Shakes hands once, so that a refused certificate is told as such: what comes later only sees a
/// connection that cannot be opened.
async fn check(address: &Uri, config: Arc<ClientConfig>, mend: &str) -> Result<()> {
    let host = address.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = address.port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("{host:?} is no name of a server"))?;
    let handshake = async {
        let Ok(socket) = TcpStream::connect((host, port)).await else {
            return Ok(());
        };
        TlsConnector::from(config)
            .connect(name, socket)
            .await
            .map(drop)
    };
    match timeout(HANDSHAKE, handshake).await {
        Ok(Err(error)) => Err(anyhow!("{address} is not trusted ({error}); {mend}")),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

/// The rules of the web's authorities.
fn usual() -> Result<Arc<ClientConfig>> {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(builder.with_no_client_auth()))
}
