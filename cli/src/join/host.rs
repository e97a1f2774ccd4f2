//! A native process as a client's host: tokio's sockets and timers, work on threads.

use std::cell::RefCell;
use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client_wasm::download::DownloadError;
use client_wasm::driver::Driver;
use client_wasm::host::{Frame, Host, Input, NotKept, SocketEvent};
use client_wasm::messages::Event;
use fl_core::codec::{FRAME_LIMIT, SERVER_TEXT_LIMIT};
use fl_core::room::Millis;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::ClientConfig;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

use super::pinned;

/// How long a connection may take to send its last frames.
const FLUSH: Duration = Duration::from_secs(3);
/// How long the server may take to begin an answer.
const ANSWER: Duration = Duration::from_secs(20);
/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// One client's machine.
#[derive(Debug)]
pub struct NativeHost {
    index: usize,
    events: UnboundedSender<(usize, Event)>,
    /// As many as steps may run at once, so that many clients do not starve the machine.
    cores: Arc<Semaphore>,
    started: Instant,
    connections: RefCell<Vec<JoinHandle<()>>>,
    agent: ureq::Agent,
    /// What replaces the usual rules of TLS.
    tls: Option<Arc<ClientConfig>>,
}

impl NativeHost {
    /// The machine of client number `index`, whose events go to `events`.
    pub fn new(
        index: usize,
        events: UnboundedSender<(usize, Event)>,
        cores: Arc<Semaphore>,
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(ANSWER))
            .timeout_recv_response(Some(ANSWER));
        Self {
            index,
            events,
            cores,
            started: Instant::now(),
            connections: RefCell::default(),
            agent: match &tls {
                Some(tls) => pinned::agent(config.build(), Arc::clone(tls)),
                None => config.build().into(),
            },
            tls,
        }
    }

    /// Waits until the connections have sent what they have to send.
    pub async fn flush(&self) {
        for connection in self.connections.take() {
            // One that takes longer is given up.
            let _ = tokio::time::timeout(FLUSH, connection).await;
        }
    }
}

impl Host for NativeHost {
    fn now(&self) -> Millis {
        milliseconds(self.started)
    }

    async fn sleep(&self, pause: Millis) {
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    fn emit(&self, event: Event) {
        // Nobody watches any more only when the process ends.
        let _ = self.events.unbounded_send((self.index, event));
    }

    fn connect(
        &self,
        url: &str,
        number: u64,
        inbox: UnboundedSender<Input>,
    ) -> UnboundedSender<Frame> {
        let (frames, outgoing) = unbounded();
        let (url, tls) = (url.to_owned(), self.tls.clone());
        let connection = tokio::spawn(async move {
            let tell = |event| drop(inbox.unbounded_send(Input::Socket(number, event)));
            converse(&url, tls, outgoing, &tell).await;
            tell(SocketEvent::Closed);
        });
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.is_finished());
        connections.push(connection);
        frames
    }

    async fn step(&self, mut driver: Driver) -> Driver {
        let permit = Arc::clone(&self.cores).acquire_owned().await;
        let started = self.started;
        let step = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            driver.step(|| milliseconds(started));
            driver
        });
        match step.await {
            Ok(driver) => driver,
            // A step is never cancelled, so it panicked, and the client ends as if it had here.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn fetch(
        &self,
        url: &str,
        what: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), DownloadError>,
    ) -> Result<(), DownloadError> {
        let (pieces, mut arriving) = mpsc::channel(4);
        let (agent, url, name) = (self.agent.clone(), url.to_owned(), what.to_owned());
        let reading = tokio::task::spawn_blocking(move || read(&agent, &url, &name, &pieces));
        while let Some(piece) = arriving.recv().await {
            take(&piece)?;
        }
        reading
            .await
            .unwrap_or_else(|error| Err(network(what, &error)))
    }

    async fn kept(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }

    async fn keep(&self, _key: &str, _content: &[u8]) -> Result<(), NotKept> {
        Err(NotKept("native clients keep no files".into()))
    }
}

fn milliseconds(since: Instant) -> Millis {
    Millis::try_from(since.elapsed().as_millis()).unwrap_or(Millis::MAX)
}

fn network(what: &str, error: &dyn std::fmt::Display) -> DownloadError {
    DownloadError::Network {
        what: what.into(),
        reason: error.to_string(),
    }
}

/// Sends the content piece by piece, as long as somebody takes it.
fn read(
    agent: &ureq::Agent,
    url: &str,
    what: &str,
    pieces: &mpsc::Sender<Vec<u8>>,
) -> Result<(), DownloadError> {
    let response = agent
        .get(url)
        .call()
        .map_err(|error| network(what, &error))?;
    let status = response.status();
    if !status.is_success() {
        return Err(DownloadError::Status {
            what: what.into(),
            status: status.as_u16(),
        });
    }
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; PIECE];
    loop {
        let count = body
            .read(&mut buffer)
            .map_err(|error| network(what, &error))?;
        if count == 0 || pieces.blocking_send(buffer[..count].to_vec()).is_err() {
            return Ok(());
        }
    }
}

/// Carries frames both ways until one side ends it.
async fn converse(
    url: &str,
    tls: Option<Arc<ClientConfig>>,
    mut outgoing: UnboundedReceiver<Frame>,
    tell: &impl Fn(SocketEvent),
) {
    let limit = Some(FRAME_LIMIT.max(SERVER_TEXT_LIMIT));
    let config = WebSocketConfig::default()
        .max_message_size(limit)
        .max_frame_size(limit);
    let tls = tls.map(Connector::Rustls);
    let connected = tokio::select! {
        connected = connect_async_tls_with_config(url, Some(config), true, tls) => connected,
        // Nothing is sent before the connection is open, so this is its end.
        _ = outgoing.next() => return,
    };
    let Ok((mut socket, _)) = connected else {
        return;
    };
    tell(SocketEvent::Opened);
    loop {
        tokio::select! {
            frame = outgoing.next() => {
                let message = match frame {
                    Some(Frame::Text(text)) => Message::text(text),
                    Some(Frame::Binary(bytes)) => Message::binary(bytes),
                    None => {
                        // The connection ends, whether the server hears of it or not.
                        let _ = socket.close(None).await;
                        return;
                    }
                };
                if socket.send(message).await.is_err() {
                    return;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => tell(SocketEvent::Text(text.as_str().to_owned())),
                Some(Ok(Message::Binary(bytes))) => tell(SocketEvent::Binary(bytes.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            }
        }
    }
}
