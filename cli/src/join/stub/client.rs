//! One stub: a session and its socket.

mod misdeeds;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use fl_core::codec::{FRAME_LIMIT, SERVER_TEXT_LIMIT};
use fl_core::error::Fault;
use fl_core::protocol::{PhaseView, WorkOrder};
use fl_core::room::Millis;
use fl_core::session::{Action, Global, Notice, Session, SessionConfig};
use futures_util::{SinkExt as _, StreamExt as _};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep_until, timeout};
use tokio_websockets::{
    ClientBuilder, Config, Connector, Limits, MaybeTlsStream, Message, WebSocketStream,
};

use super::known::Known;
use super::measures::{Measures, Step};
use super::misbehaviour::Misdeed;
use super::trace::Trace;
use super::update;
use misdeeds::Wrongs;

/// Connections that are being opened at once.
const OPENING: usize = 64;
/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(20);
/// How long the end of a connection may take.
const FAREWELL: Duration = Duration::from_secs(3);
/// Connections that fail one after the other before a server counts as not there.
const FIRST_TRIES: u32 = 5;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What all clients of the process share.
#[derive(Debug)]
pub struct Shared {
    origin: String,
    url: http::Uri,
    connector: Connector,
    room: String,
    seed: u64,
    measures: Mutex<Measures>,
    trace: Trace,
    known: Known,
    opening: Semaphore,
    begun: Instant,
}

impl Shared {
    /// What the clients of this room share.
    ///
    /// # Errors
    /// An origin that is no address.
    pub fn new(
        origin: &str,
        room: String,
        seed: u64,
        measures: Measures,
        trace: Trace,
    ) -> Result<Self> {
        let url = format!("{}/ws", origin.replacen("http", "ws", 1));
        let url: http::Uri = url
            .parse()
            .with_context(|| format!("{origin:?} is no address"))?;
        let connector = match url.scheme_str() {
            Some("wss") => Connector::new().context("TLS cannot be used")?,
            _ => Connector::Plain,
        };
        Ok(Self {
            origin: origin.to_owned(),
            url,
            connector,
            room,
            seed,
            measures: Mutex::new(measures),
            trace,
            known: Known::default(),
            opening: Semaphore::new(OPENING),
            begun: Instant::now(),
        })
    }

    /// What is measured.
    pub fn measures(&self) -> MutexGuard<'_, Measures> {
        self.measures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Millis {
        Millis::try_from(self.begun.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }

    async fn connect(&self) -> Result<Socket, tokio_websockets::Error> {
        let limit = FRAME_LIMIT.max(SERVER_TEXT_LIMIT);
        // Everything is queued at once, and flushed while the client reads.
        let config = Config::default()
            .flush_threshold(usize::MAX)
            .frame_size(usize::MAX);
        let builder = ClientBuilder::from_uri(self.url.clone())
            .connector(&self.connector)
            .config(config)
            .limits(Limits::default().max_payload_len(Some(limit)));
        let (socket, _) = timeout(CONNECT, builder.connect())
            .await
            .map_err(|elapsed| std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed))??;
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_nodelay(true)?;
        }
        Ok(socket)
    }
}

/// One client.
#[derive(Debug)]
pub struct Client {
    number: u32,
    misdeed: Option<Misdeed>,
    session: Session<ChaCha8Rng>,
    shared: Arc<Shared>,
    socket: Option<Socket>,
    is_unflushed: bool,
    is_welcomed: bool,
    failures: u32,
    connections: u64,
    hello: Option<Instant>,
    ordered: Option<Instant>,
    reported: Option<Reported>,
    wrongs: Wrongs,
    completed: Option<u32>,
    is_over: bool,
}

/// A report on its way.
#[derive(Clone, Copy, Debug)]
struct Reported {
    round: u32,
    begun: Instant,
    is_answered: bool,
}

/// What a client waits for.
enum Event {
    Message(Message),
    Flushed,
    Closed,
    Due,
    Stop,
}

impl Client {
    /// A client that has done nothing yet.
    pub fn new(number: u32, name: String, misdeed: Option<Misdeed>, shared: Arc<Shared>) -> Self {
        let config = SessionConfig {
            room: shared.room.clone(),
            name,
            resume: None,
        };
        let rng = ChaCha8Rng::seed_from_u64(shared.seed ^ u64::from(number) << 32);
        Self {
            number,
            misdeed,
            session: Session::new(config, rng, shared.now()),
            shared,
            socket: None,
            is_unflushed: false,
            is_welcomed: false,
            failures: 0,
            connections: 0,
            hello: None,
            ordered: None,
            reported: None,
            wrongs: Wrongs::default(),
            completed: None,
            is_over: false,
        }
    }

    /// Takes part until the room has finished, the client has to stop, or `stop` says so.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.carry_out().await;
            self.end_if_finished();
            if self.is_over {
                return self.hang_up().await;
            }
            let event = self.next(&mut stop).await;
            let now = self.shared.now();
            match event {
                Event::Message(message) => self.take(message, now),
                Event::Flushed => self.flushed(),
                Event::Closed => self.cut(now),
                Event::Due => self.session.tick(now),
                Event::Stop => self.session.leave(),
            }
        }
    }

    async fn next(&mut self, stop: &mut watch::Receiver<bool>) -> Event {
        let due = self.session.next_tick().unwrap_or(Millis::MAX >> 32);
        let due = self.shared.begun + Duration::from_millis(due);
        let (socket, is_unflushed) = (&mut self.socket, &mut self.is_unflushed);
        let traffic = std::future::poll_fn(|context| {
            let Some(socket) = socket else {
                return Poll::Pending;
            };
            if *is_unflushed && let Poll::Ready(flushed) = socket.poll_flush_unpin(context) {
                *is_unflushed = false;
                return Poll::Ready(match flushed {
                    Ok(()) => Event::Flushed,
                    Err(_) => Event::Closed,
                });
            }
            Poll::Ready(match ready!(socket.poll_next_unpin(context)) {
                Some(Ok(message)) => Event::Message(message),
                Some(Err(_)) | None => Event::Closed,
            })
        });
        tokio::select! {
            _ = stop.changed() => Event::Stop,
            event = traffic => event,
            () = sleep_until(due.into()) => Event::Due,
        }
    }

    fn take(&mut self, message: Message, now: Millis) {
        if let Some(text) = message.as_text() {
            self.session.text(text, now);
        } else if message.is_binary() {
            let frame = Bytes::from(message.into_payload());
            self.shared.known.feed(&mut self.session, frame, now);
        } else if message.is_close() {
            self.cut(now);
        }
    }

    fn flushed(&mut self) {
        if let Some(ordered) = self.ordered.take_if(|_| self.reported.is_some()) {
            self.shared.measures().took(Step::Report, ordered.elapsed());
        }
    }

    /// The connection is gone, whoever ended it.
    fn cut(&mut self, now: Millis) {
        self.socket = None;
        self.session.closed(now);
    }

    /// Carries out actions, and those that they cause.
    async fn carry_out(&mut self) {
        let mut actions = VecDeque::from(self.session.take_actions());
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Connect => self.connect().await,
                Action::Disconnect => self.hang_up().await,
                Action::SendText(text) => self.send(Message::text(text)),
                Action::SendBinary(frame) => self.report(frame.into()).await,
                Action::Prepare(_) => self.session.prepared(update::GOLD, update::UNLABELLED),
                Action::Adopt(global) => self.adopt(&global),
                Action::Work(order, global) => self.work(&order, &global),
                Action::StopWork => {}
                Action::Notify(notice) => self.note(notice),
            }
            actions.extend(self.session.take_actions());
        }
    }

    async fn connect(&mut self) {
        self.connections += 1;
        let shared = Arc::clone(&self.shared);
        let Ok(_turn) = shared.opening.acquire().await else {
            return;
        };
        let begun = Instant::now();
        match shared.connect().await {
            Ok(socket) => {
                let mut measures = shared.measures();
                measures.took(Step::Connect, begun.elapsed());
                measures.counts().reconnects += u64::from(self.connections > 1);
                (self.socket, self.is_unflushed) = (Some(socket), false);
                self.hello = Some(Instant::now());
                self.session.opened();
            }
            Err(error) => {
                self.failures += 1;
                if !self.is_welcomed && self.failures == FIRST_TRIES {
                    let origin = &shared.origin;
                    let reason =
                        format!("{origin} cannot be reached ({error}); is a server running there?");
                    shared.measures().stopped(None, reason);
                    self.is_over = true;
                }
                self.session.closed(shared.now());
            }
        }
    }

    fn send(&mut self, message: Message) {
        if let Some(socket) = &mut self.socket {
            self.is_unflushed = true;
            // Queued without waiting. A socket that takes nothing more says so when it is read.
            let _ = socket.start_send_unpin(message);
        }
    }

    async fn report(&mut self, frame: Bytes) {
        self.shared.measures().counts().reports += 1;
        self.deliver(frame).await;
        if let Some(reported) = &mut self.reported {
            reported.begun = Instant::now();
        }
    }

    fn work(&mut self, order: &WorkOrder, global: &Global) {
        let now = Instant::now();
        let matrices = global.adapter.matrices.values();
        let parameters = matrices.map(|matrix| matrix.values.len()).sum();
        self.shared.measures().ordered(parameters, now);
        self.ordered = Some(now);
        if self.misbehave(order, global) == Some(Misdeed::Stall) {
            return;
        }
        let (result, update) = update::of(&global.adapter, order, self.shared.seed, self.number);
        self.reported = Some(Reported {
            round: order.round,
            begun: now,
            is_answered: false,
        });
        self.session.finished(result, &update);
    }

    fn adopt(&mut self, global: &Global) {
        self.shared.trace.adapter(global.round, global.hash);
        if let Some(reported) = self
            .reported
            .take_if(|reported| reported.round == global.round)
        {
            let now = Instant::now();
            let mut measures = self.shared.measures();
            measures.took(Step::Global, now - reported.begun);
            measures.adopted(now);
        }
    }

    fn note(&mut self, notice: Notice) {
        let misdeed = self.misdeed;
        match notice {
            Notice::Welcomed(welcome) => {
                self.shared.trace.welcomed(self.number, &welcome);
                self.report_again();
                let mut measures = self.shared.measures();
                if let Some(hello) = self.hello.take() {
                    measures.took(Step::Welcome, hello.elapsed());
                }
                let is_first = !std::mem::replace(&mut self.is_welcomed, true);
                measures.counts().welcomed += u32::from(is_first);
            }
            Notice::Room(view) if view.phase == PhaseView::Finished => {
                self.completed = Some(view.completed);
            }
            Notice::RoundEnded(record) => self.shared.trace.round(&record),
            Notice::Receipt(receipt) => match receipt.fault {
                Some(fault) => self.shared.measures().faulted(misdeed, fault.code),
                None => self.counted(receipt.round),
            },
            Notice::Sent(_, bytes) => self.shared.measures().counts().bytes_up += bytes as u64,
            Notice::Received(_, bytes) => {
                self.shared.measures().counts().bytes_down += bytes as u64;
            }
            Notice::Fault(fault) => self.shared.measures().faulted(misdeed, fault.code),
            Notice::Stopped(fault) => self.stopped(fault),
            _ => {}
        }
    }

    fn counted(&mut self, round: u32) {
        let mut measures = self.shared.measures();
        measures.counted(round);
        if let Some(reported) = &mut self.reported
            && reported.round == round
            && !std::mem::replace(&mut reported.is_answered, true)
        {
            measures.took(Step::Acknowledge, reported.begun.elapsed());
        }
    }

    fn stopped(&mut self, fault: Option<Fault>) {
        self.is_over = true;
        if let Some(fault) = fault {
            let mut measures = self.shared.measures();
            measures.faulted(self.misdeed, fault.code);
            measures.stopped(self.misdeed, fault.to_string());
        }
    }

    fn end_if_finished(&mut self) {
        let global = self.session.global();
        if let (false, Some(completed), Some(global)) = (self.is_over, self.completed, global)
            && global.round >= completed
        {
            self.is_over = true;
            self.shared.measures().finished(global.hash);
        }
    }

    async fn hang_up(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            // The connection ends, whether the server hears of it or not.
            let _ = timeout(FAREWELL, socket.close()).await;
        }
    }
}
