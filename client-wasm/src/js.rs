//! The tab as a host: `Client` for the page's worker, and the browser's clock, sockets, downloads
//! and cache. With its helpers in `workers`, the only module that names JavaScript's types.

mod workers;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;

use fl_core::room::Millis;
use futures_channel::{mpsc, oneshot};
use futures_util::future::{Either, select};
use futures_util::{SinkExt as _, StreamExt as _};
use gloo_net::websocket::futures::WebSocket;
use gloo_net::websocket::{Message, State};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, JSON, JsString, Reflect, Uint8Array};
use learner::LocalClient;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Cache, CacheQueryOptions, CacheStorage, MessageChannel, ReadableStreamDefaultReader,
    RequestCache, RequestInit, Response, WorkerGlobalScope,
};

use crate::client;
use crate::crew;
use crate::download::DownloadError;
use crate::driver::Driver;
use crate::faults;
use crate::host::{Frame, Host, Input, NotKept, SocketEvent};
use crate::library::Library;
use crate::messages::Event;
use workers::Round;
pub use workers::{Crew, HelperPort};

/// Name of the browser's cache; another layout of what is in it gets another name.
const CACHE: &str = "lpfl-files-1";

/// One federated client. It lives in a Worker; commands and events are those of `messages`.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Client {
    inbox: mpsc::UnboundedSender<Input>,
    page: Page,
}

#[wasm_bindgen]
impl Client {
    /// A client that tells `emit` its events, one object each, and waits for a join.
    ///
    /// `spawn` starts a Worker for a [`Helper`](HelperPort): it is called with a port and the
    /// compiled module for it, and returns a function that ends it. Without it the client works
    /// alone.
    #[wasm_bindgen(constructor)]
    pub fn new(emit: Function, spawn: Option<Function>) -> Self {
        let page = Page(emit);
        tell_panics(page.clone());
        let (inbox, commands) = mpsc::unbounded();
        let (tab, sender) = (Tab::new(page.clone(), spawn), inbox.clone());
        spawn_local(async move {
            let library = Library::new();
            client::run(&tab, &library, generator(), sender, commands).await;
        });
        Self { inbox, page }
    }

    /// Takes a command of the page; what is none is answered by a fault.
    pub fn command(&self, command: JsValue) {
        match serde_wasm_bindgen::from_value(command) {
            // A client that has stopped takes no more commands, and has said so.
            Ok(command) => drop(self.inbox.unbounded_send(Input::Command(command))),
            Err(error) => {
                let reason: String = error.to_string().chars().take(200).collect();
                self.page
                    .emit(&Event::Fault(faults::unreadable_command(&reason)));
            }
        }
    }
}

/// The page's function for events.
#[derive(Clone, Debug)]
pub struct Page(Function);

impl Page {
    /// A function that takes an [`Event`].
    pub fn new(emit: Function) -> Self {
        Self(emit)
    }

    fn emit(&self, event: &Event) {
        // By way of JSON, so that numbers and maps arrive as the declared types say.
        let value = serde_json::to_string(event).map(|text| JSON::parse(&text));
        if let Ok(Ok(value)) = value {
            // An error of the page's function is the page's.
            let _ = self.0.call1(&JsValue::UNDEFINED, &value);
        }
    }
}

thread_local! {
    static PANICS_TO: RefCell<Option<Page>> = const { RefCell::new(None) };
}

/// After a panic nothing runs any more, so the page must hear of it at once.
fn tell_panics(page: Page) {
    if PANICS_TO.replace(Some(page)).is_some() {
        return;
    }
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let fault = faults::broken(&info.to_string());
        PANICS_TO.with(|page| {
            if let Ok(Some(page)) = page.try_borrow().as_deref() {
                page.emit(&Event::Fault(fault));
            }
        });
        before(info);
    }));
}

/// Random numbers that spread reconnections; where the browser has none, the clock must do.
fn generator() -> ChaCha8Rng {
    let mut seed = [0; 32];
    if getrandom::fill(&mut seed).is_err() {
        seed[..8].copy_from_slice(&js_sys::Date::now().to_le_bytes());
    }
    ChaCha8Rng::from_seed(seed)
}

/// A Worker, or the window in tests: what is used here, both have.
fn scope() -> WorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Milliseconds since the worker began.
fn now() -> Millis {
    scope().performance().map_or(0.0, |clock| clock.now()) as Millis
}

/// A tab's worker.
#[derive(Debug)]
pub struct Tab {
    page: Page,
    turns: Turns,
    crew: Rc<Crew>,
}

impl Tab {
    fn new(page: Page, spawn: Option<Function>) -> Self {
        Self {
            crew: Rc::new(Crew::new(page.clone(), spawn)),
            page,
            turns: Turns::new(),
        }
    }

    /// A host without helpers that tells `emit` its events.
    pub fn with(emit: Function) -> Self {
        Self::new(Page(emit), None)
    }
}

impl Host for Tab {
    fn now(&self) -> Millis {
        now()
    }

    async fn sleep(&self, pause: Millis) {
        // Longer than a browser's timers go is longer than a tab lives.
        TimeoutFuture::new(pause.min(i32::MAX as Millis) as u32).await;
    }

    fn emit(&self, event: Event) {
        self.page.emit(&event);
    }

    fn connect(
        &self,
        url: &str,
        number: u64,
        inbox: mpsc::UnboundedSender<Input>,
    ) -> mpsc::UnboundedSender<Frame> {
        let (frames, outgoing) = mpsc::unbounded();
        let url = url.to_owned();
        spawn_local(async move {
            let tell = |event| drop(inbox.unbounded_send(Input::Socket(number, event)));
            if let Ok(socket) = WebSocket::open(&url) {
                converse(socket, outgoing, &tell).await;
            }
            tell(SocketEvent::Closed);
        });
        frames
    }

    async fn step(&self, mut driver: Driver) -> Driver {
        let mut round = Round::GoesOn;
        if let Some(client) = driver.working() {
            let before = now();
            let step = crew::step(client, &*self.crew).await;
            if !client.is_working() {
                round = Round::Ended;
            }
            driver.stepped(step, before, now());
        }
        self.crew.tell(round);
        self.turns.yield_once().await;
        driver
    }

    fn allow_workers(&self, count: u32) {
        self.crew.allow(count);
    }

    fn share_model(&self, files: &[(&str, &[u8])]) {
        self.crew.share_model(files);
    }

    fn client_loaded(&self, client: &LocalClient) {
        self.crew.prepare(client.learner(), &client.texts().all());
    }

    async fn fetch(
        &self,
        url: &str,
        what: &str,
        mut take: impl FnMut(&[u8]) -> Result<(), DownloadError>,
    ) -> Result<(), DownloadError> {
        let network = |error: JsValue| DownloadError::Network {
            what: what.into(),
            reason: words(&error),
        };
        // The worker has its own store, which checks what it holds.
        let request = RequestInit::new();
        request.set_cache(RequestCache::NoStore);
        let response = JsFuture::from(scope().fetch_with_str_and_init(url, &request)).await;
        let response: Response = response.map_err(network)?.unchecked_into();
        if !response.ok() {
            return Err(DownloadError::Status {
                what: what.into(),
                status: response.status(),
            });
        }
        let Some(body) = response.body() else {
            return Ok(());
        };
        let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        loop {
            let read = JsFuture::from(reader.read()).await.map_err(network)?;
            let field = |name: &str| Reflect::get(&read, &name.into()).unwrap_or_default();
            if field("done").is_truthy() {
                return Ok(());
            }
            if let Err(error) = take(&Uint8Array::new(&field("value")).to_vec()) {
                // Awaited, so that a refusal of the browser does not go unhandled.
                let _ = JsFuture::from(reader.cancel()).await;
                return Err(error);
            }
        }
    }

    async fn kept(&self, key: &str) -> Option<Vec<u8>> {
        let found = JsFuture::from(cache().await.ok()?.match_with_str(key)).await;
        let response: Response = found.ok()?.dyn_into().ok()?;
        let content = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
        Some(Uint8Array::new(&content).to_vec())
    }

    async fn keep(&self, key: &str, content: &[u8]) -> Result<(), NotKept> {
        let refused = |error: JsValue| NotKept(format!("the browser refused: {}", words(&error)));
        let cache = cache().await?;
        let every_version = CacheQueryOptions::new();
        every_version.set_ignore_search(true);
        let older = cache.delete_with_str_and_options(key, &every_version);
        JsFuture::from(older).await.map_err(refused)?;
        let content = Uint8Array::from(content);
        let response = Response::new_with_opt_buffer_source(Some(&content)).map_err(refused)?;
        let written = JsFuture::from(cache.put_with_str(key, &response)).await;
        written.map_err(refused).map(drop)
    }
}

/// Carries frames both ways until one side ends it; dropping the socket closes it.
async fn converse(
    mut socket: WebSocket,
    mut outgoing: mpsc::UnboundedReceiver<Frame>,
    tell: &impl Fn(SocketEvent),
) {
    let ready = poll_fn(|context| socket.poll_ready_unpin(context));
    // Nothing is sent before the connection is open, so this ends early only to give it up.
    match select(ready, outgoing.next()).await {
        Either::Left((Ok(()), _)) => {}
        _ => return,
    }
    if !matches!(socket.state(), State::Open) {
        return;
    }
    tell(SocketEvent::Opened);
    loop {
        let next = match select(outgoing.next(), socket.next()).await {
            Either::Left((frame, _)) => Either::Left(frame),
            Either::Right((message, _)) => Either::Right(message),
        };
        match next {
            Either::Left(Some(frame)) => {
                let message = match frame {
                    Frame::Text(text) => Message::Text(text),
                    Frame::Binary(bytes) => Message::Bytes(bytes),
                };
                if socket.send(message).await.is_err() {
                    return;
                }
            }
            Either::Right(Some(Ok(Message::Text(text)))) => tell(SocketEvent::Text(text)),
            Either::Right(Some(Ok(Message::Bytes(bytes)))) => tell(SocketEvent::Binary(bytes)),
            Either::Left(None) | Either::Right(Some(Err(_)) | None) => return,
        }
    }
}

async fn cache() -> Result<Cache, NotKept> {
    let storage = Reflect::get(&scope(), &"caches".into()).unwrap_or_default();
    if storage.is_falsy() {
        let reason = "browsers keep files only for pages from HTTPS or from this machine";
        return Err(NotKept(reason.into()));
    }
    let storage: CacheStorage = storage.unchecked_into();
    let refused = |error: JsValue| NotKept(format!("the browser refused: {}", words(&error)));
    let cache = JsFuture::from(storage.open(CACHE)).await.map_err(refused)?;
    Ok(cache.unchecked_into())
}

/// What an error of JavaScript says, on one line.
fn words(error: &JsValue) -> String {
    let field = |name: &str| {
        let value = Reflect::get(error, &name.into()).ok();
        value
            .and_then(|value| value.as_string())
            .filter(|text| !text.is_empty())
    };
    let text = match (field("name"), field("message")) {
        (Some(name), Some(message)) => format!("{name}: {message}"),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => JsString::from(error.clone()).into(),
    };
    text.lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect()
}

/// Lets the event loop run everything that waits.
///
/// A message of a channel is a task of its own, as a timer is, but browsers do not stretch it to
/// four milliseconds.
#[derive(Debug)]
struct Turns {
    channel: MessageChannel,
    waiting: Rc<RefCell<Option<oneshot::Sender<()>>>>,
    _on_message: Closure<dyn FnMut()>,
}

impl Turns {
    #[allow(
        clippy::expect_used,
        reason = "every browser with WebAssembly has MessageChannel"
    )]
    fn new() -> Self {
        let channel = MessageChannel::new().expect("a MessageChannel");
        let waiting = Rc::new(RefCell::new(None::<oneshot::Sender<()>>));
        let waker = Rc::clone(&waiting);
        let on_message = Closure::<dyn FnMut()>::new(move || {
            if let Some(waiting) = waker.take() {
                let _ = waiting.send(());
            }
        });
        channel
            .port1()
            .set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Self {
            channel,
            waiting,
            _on_message: on_message,
        }
    }

    async fn yield_once(&self) {
        let (sender, receiver) = oneshot::channel();
        self.waiting.replace(Some(sender));
        if self.channel.port2().post_message(&JsValue::NULL).is_ok() {
            let _ = receiver.await;
        }
    }
}
