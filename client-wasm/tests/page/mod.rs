//! A page, a network and a room for the client under test, made of the browser's own parts.

use std::cell::RefCell;
use std::rc::Rc;

use client_wasm::host::Frame;
use client_wasm::messages::Event;
use fl_core::adapter::Adapter;
use fl_core::room::{ConnectionId, Millis};
use fl_core::settings::RoomSettings;
use gloo_timers::callback::Interval;
use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, JSON, Promise, Reflect, Uint8Array, global};
use learner::Learner;
use learner::testing::Files;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::server::{Server, model_info};

/// Lets the event loop run for a while.
pub async fn sleep(milliseconds: u32) {
    TimeoutFuture::new(milliseconds).await;
}

/// The value of an expression of JavaScript.
pub fn evaluate(expression: &str) -> JsValue {
    let function = Function::new_no_args(&format!("return {expression}"));
    function.call0(&JsValue::UNDEFINED).unwrap()
}

fn set_global(name: &str, value: &JsValue) {
    Reflect::set(&global(), &name.into(), value).unwrap();
}

/// What a page hears.
pub struct Page {
    heard: Rc<RefCell<Vec<Event>>>,
    listener: Closure<dyn FnMut(JsValue)>,
}

impl Page {
    pub fn new() -> Self {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let ears = Rc::clone(&heard);
        let listener = Closure::new(move |event: JsValue| {
            let text = String::from(JSON::stringify(&event).unwrap());
            ears.borrow_mut().push(serde_json::from_str(&text).unwrap());
        });
        Self { heard, listener }
    }

    pub fn function(&self) -> Function {
        self.listener.as_ref().clone().unchecked_into()
    }

    pub fn events(&self) -> Vec<Event> {
        self.heard.borrow().clone()
    }

    /// Waits until such an event was heard.
    #[allow(dead_code, reason = "not every test waits")]
    pub async fn hears(&self, wanted: impl Fn(&Event) -> bool) {
        for _ in 0..1200 {
            if self.heard.borrow().iter().any(&wanted) {
                return;
            }
            sleep(50).await;
        }
        panic!("not heard: {:?}", self.events());
    }
}

/// Answers `fetch` until it is dropped.
pub struct Network {
    real: JsValue,
}

impl Network {
    /// A network without files, and a cache without any of earlier tests.
    pub async fn new() -> Self {
        let forget = "(async () => { for (const name of await caches.keys()) \
            await caches.delete(name); })()";
        let forgotten: Promise = evaluate(forget).unchecked_into();
        JsFuture::from(forgotten).await.unwrap();
        let real = Reflect::get(&global(), &"fetch".into()).unwrap();
        let network = "(() => { globalThis.files = new Map(); globalThis.fetched = []; \
            globalThis.failures = 0; globalThis.fetch = async (url) => { \
            globalThis.fetched.push(String(url)); \
            if (globalThis.failures-- > 0) throw new TypeError('the cable is out'); \
            const file = globalThis.files.get(String(url)); \
            return file ? new Response(file) : new Response('none', { status: 404 }); } })()";
        evaluate(network);
        Self { real }
    }

    pub fn has(&self, url: &str, content: &[u8]) {
        let add = Function::new_with_args("url, file", "globalThis.files.set(url, file)");
        let file = Uint8Array::from(content);
        add.call2(&JsValue::UNDEFINED, &url.into(), &file).unwrap();
    }

    pub fn fails_next(&self) {
        evaluate("globalThis.failures = 1");
    }

    pub fn take_fetched(&self) -> Vec<String> {
        let urls = js_sys::Array::from(&evaluate("globalThis.fetched.splice(0)"));
        urls.iter().map(|url| url.as_string().unwrap()).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        set_global("fetch", &self.real);
    }
}

/// Undoes a change of the browser when it is dropped.
pub struct Undo(&'static str);

impl Drop for Undo {
    fn drop(&mut self) {
        evaluate(self.0);
    }
}

/// From now on nothing fits into the cache.
pub fn refuse_quota() -> Undo {
    evaluate(
        "(() => { Cache.prototype.realPut = Cache.prototype.put; Cache.prototype.put = () => \
         Promise.reject(new DOMException('full', 'QuotaExceededError')); })()",
    );
    Undo("(() => { Cache.prototype.put = Cache.prototype.realPut; })()")
}

/// From now on there is no cache, as on a page that came without TLS.
pub fn hide_caches() -> Undo {
    evaluate(
        "Object.defineProperty(globalThis, 'caches', { value: undefined, configurable: true })",
    );
    Undo("delete globalThis.caches")
}

/// A room behind every `WebSocket` until it is dropped.
pub struct Rooms {
    real: JsValue,
    server: Rc<RefCell<Server>>,
    _receive: Closure<dyn FnMut(u32, JsValue)>,
    _clock: Interval,
}

fn now() -> Millis {
    evaluate("performance.now()").as_f64().unwrap() as Millis
}

impl Rooms {
    pub fn open(settings: RoomSettings, files: &Files) -> Self {
        let base = files.load().unwrap();
        let learner = Learner::new(base, &settings.task, &settings.lora).unwrap();
        let initial = learner.initial_adapter(settings.seed);
        let server = Server::new(settings, model_info(files), initial);
        let server = Rc::new(RefCell::new(server));
        let real = Reflect::get(&global(), &"WebSocket".into()).unwrap();
        let peer = Rc::clone(&server);
        let receive = Closure::new(move |from: u32, data: JsValue| {
            let frame = match data.as_string() {
                Some(text) => Frame::Text(text),
                None => Frame::Binary(Uint8Array::new(&data).to_vec()),
            };
            let answers = peer
                .borrow_mut()
                .take(ConnectionId(from.into()), &frame, now());
            send(answers);
        });
        set_global("serverReceive", receive.as_ref());
        let sockets = "(() => { globalThis.sockets = []; \
            globalThis.WebSocket = class extends EventTarget { \
            constructor(url) { super(); this.url = url; this.readyState = 0; \
              this.order = Promise.resolve(); this.number = globalThis.sockets.push(this) - 1; \
              setTimeout(() => { this.readyState = 1; this.dispatchEvent(new Event('open')); }); } \
            send(data) { this.order = this.order.then(async () => { \
              if (data instanceof Blob) data = await data.arrayBuffer(); \
              globalThis.serverReceive(this.number, data); }); } \
            close() { this.readyState = 3; } } })()";
        evaluate(sockets);
        let clock = Rc::clone(&server);
        let clock = Interval::new(50, move || {
            let answers = clock.borrow_mut().settle(now());
            send(answers);
        });
        Self {
            real,
            server,
            _receive: receive,
            _clock: clock,
        }
    }

    /// The room's newest adapter.
    #[allow(dead_code, reason = "not every test looks at it")]
    pub fn adapter(&self) -> Adapter {
        Adapter::clone(self.server.borrow().room.global().1)
    }

    /// Hash of the room's newest adapter.
    pub fn hash(&self) -> String {
        self.server.borrow().room.global().2.to_string()
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        set_global("WebSocket", &self.real);
    }
}

/// Hands frames to the sockets, each in a task of its own as a network would.
fn send(frames: Vec<(ConnectionId, Frame)>) {
    let deliver = Function::new_with_args(
        "number, data",
        "const socket = globalThis.sockets[number]; setTimeout(() => { \
         if (socket.readyState === 1) \
         socket.dispatchEvent(new MessageEvent('message', { data })); })",
    );
    for (to, frame) in frames {
        let data: JsValue = match frame {
            Frame::Text(text) => text.into(),
            Frame::Binary(bytes) => Uint8Array::from(&bytes[..]).buffer().into(),
        };
        deliver
            .call2(&JsValue::UNDEFINED, &(to.0 as u32).into(), &data)
            .unwrap();
    }
}
