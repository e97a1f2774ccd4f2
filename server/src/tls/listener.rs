//! Connections over TLS: many shake hands at once, and a slow one holds nobody up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Identity;

/// Connections that have shaken hands and wait to be taken.
const READY: usize = 64;
/// Handshakes at once; further connections wait in the system's queue.
const HANDSHAKES: usize = 1_024;

type Ready = (TlsStream<TcpStream>, SocketAddr);

/// A listener whose connections have shaken hands.
pub(crate) struct TlsListener {
    address: io::Result<SocketAddr>,
    ready: mpsc::Receiver<Ready>,
    // Its end ends every handshake.
    _accepting: JoinSet<()>,
}

impl TlsListener {
    /// Takes over a socket; a handshake may take as long as `patience`.
    pub(crate) fn new(listener: TcpListener, identity: &Identity, patience: Duration) -> Self {
        let address = listener.local_addr();
        let (sender, ready) = mpsc::channel(READY);
        let acceptor = TlsAcceptor::from(identity.config());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, acceptor, patience, sender));
        Self {
            address,
            ready,
            _accepting: accepting,
        }
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Ready {
        match self.ready.recv().await {
            Some(ready) => ready,
            // The task that accepts ends with this listener only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}

async fn accept(
    mut listener: TcpListener,
    acceptor: TlsAcceptor,
    patience: Duration,
    ready: mpsc::Sender<Ready>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    let mut handshakes = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (socket, address) = Listener::accept(&mut listener).await;
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        handshakes.spawn(async move {
            let _ = socket.set_nodelay(true);
            match timeout(patience, acceptor.accept(socket)).await {
                Ok(Ok(stream)) => drop(ready.send((stream, address)).await),
                // Whoever speaks no TLS, or does not trust the certificate, is gone.
                Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS handshake"),
                Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
            }
            drop(place);
        });
        // What has ended is forgotten.
        while handshakes.try_join_next().is_some() {}
    }
}
