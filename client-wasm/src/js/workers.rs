//! Helpers as Workers of the browser, each with a WebAssembly of its own: the client's side and theirs.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::{Rc, Weak};

use fl_core::adapter::{Adapter, AdapterLayout};
use fl_core::room::Millis;
use futures_channel::oneshot;
use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, Function, Reflect, Uint8Array, Uint32Array};
use learner::{BaseModel, Encoded, Job, JobResult, Learner, WeightFile};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Blob, MessageChannel, MessageEvent, MessagePort};

use super::{Page, now};
use crate::crew::helper;
use crate::crew::wire::{self, Answer, Ask, Kind};
use crate::crew::{Helpers, MOST_WORKERS};
use crate::messages::Event;

/// How long a helper may take longer than the client's own part: this, and twice that part's time.
const PATIENCE_MS: Millis = 3000;

/// Answers in a row that come too late until a helper is given up.
const LATE_ANSWERS: u32 = 3;

/// The client's side: its helpers, made when there is a client to help.
#[derive(Debug)]
pub struct Crew {
    page: Page,
    /// Makes a Worker of `helper.ts`: takes a port for it and the compiled module, and returns a
    /// function that ends it. Without one there are no helpers.
    spawn: Option<Function>,
    /// Helpers that may be.
    allowed: Cell<usize>,
    /// The model's files. A Blob lies in the browser once, however many workers read it.
    files: RefCell<Vec<(String, Blob)>>,
    setup: RefCell<Option<Setup>>,
    helpers: RefCell<Vec<Rc<Helper>>>,
    helped: Cell<u32>,
    told: Cell<(u32, u32)>,
}

#[derive(Debug)]
struct Setup {
    text: String,
    layout: Rc<AdapterLayout>,
    labels: usize,
}

/// One helper as its client knows it.
#[derive(Debug)]
struct Helper {
    port: MessagePort,
    end: Option<Function>,
    state: Cell<State>,
    number: Cell<u32>,
    late: Cell<u32>,
    crew: Weak<Crew>,
    /// The adapter that it has.
    adapter: RefCell<Vec<f32>>,
    waiting: RefCell<Option<oneshot::Sender<Vec<u32>>>>,
    on_message: RefCell<Option<Listener>>,
}

type Listener = Closure<dyn FnMut(MessageEvent)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Idle,
    Busy,
    Gone,
}

impl Crew {
    /// No helpers yet. `spawn` is as for [`Client`](super::Client::new); `page` hears how many there are.
    pub fn new(page: Page, spawn: Option<Function>) -> Self {
        Self {
            page,
            spawn,
            allowed: Cell::new(0),
            files: RefCell::default(),
            setup: RefCell::default(),
            helpers: RefCell::default(),
            helped: Cell::new(0),
            told: Cell::new((1, 0)),
        }
    }

    /// Lets so many workers share the work, the own one among them.
    pub fn allow(self: &Rc<Self>, workers: u32) {
        self.allowed
            .set(workers.clamp(1, MOST_WORKERS) as usize - 1);
        self.fill();
        self.tell(Round::GoesOn);
    }

    /// Keeps the files of the model for helpers: configuration, tokenizer, weights.
    pub fn share_model(&self, files: &[(&str, &[u8])]) {
        if self.spawn.is_none() {
            return;
        }
        let blob = |(name, content): &(&str, &[u8])| {
            let parts = Array::of1(&Uint8Array::from(*content));
            let blob = Blob::new_with_u8_array_sequence(&parts).ok()?;
            Some(((*name).to_owned(), blob))
        };
        // Where the browser has no room for them there are no helpers.
        let blobs = files.iter().map(blob).collect::<Option<_>>();
        self.files.replace(blobs.unwrap_or_default());
        self.setup.take();
        self.helpers.take();
    }

    /// Prepares helpers for work on these texts; they start as they can.
    pub fn prepare(self: &Rc<Self>, learner: &Learner, texts: &[Encoded]) {
        if self.spawn.is_none() {
            return;
        }
        let setup = helper::setup(learner, texts).map(|text| Setup {
            text,
            layout: Rc::new(learner.layout()),
            labels: learner.labels(),
        });
        // Helpers that are there hold the texts of the client before.
        self.helpers.take();
        self.setup.replace(setup);
        self.fill();
    }

    /// Makes the helpers that are allowed and missing, and ends those that are too many.
    fn fill(self: &Rc<Self>) {
        let (setup, files) = (self.setup.borrow(), self.files.borrow());
        let mut helpers = self.helpers.borrow_mut();
        helpers.truncate(self.allowed.get());
        let (Some(spawn), Some(setup)) = (&self.spawn, setup.as_ref()) else {
            return;
        };
        // Those that went stay among the helpers, so that none is made again and again.
        while !files.is_empty() && helpers.len() < self.allowed.get() {
            match Helper::start(self, spawn, &files, &setup.text) {
                Some(helper) => helpers.push(helper),
                None => return,
            }
        }
    }

    /// Tells the page how many share the work, when that changed or a round has ended.
    pub(super) fn tell(&self, round: Round) {
        let ready = |helper: &&Rc<Helper>| matches!(helper.state.get(), State::Idle | State::Busy);
        let ready = 1 + self.helpers.borrow().iter().filter(ready).count() as u32;
        let (told, helped) = (self.told.get(), self.helped.get());
        if ready != told.0 || (round == Round::Ended && helped != told.1) {
            self.told.set((ready, helped));
            self.page.emit(&Event::Workers { ready, helped });
        }
    }
}

/// Whether a step was a round's last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    GoesOn,
    Ended,
}

impl Helpers for Crew {
    fn idle(&self) -> usize {
        let helpers = self.helpers.borrow();
        helpers.iter().filter(|helper| helper.is_idle()).count()
    }

    fn ask(&self, part: &Job, adapter: &Adapter) -> impl Future<Output = Option<JobResult>> {
        let asked = now();
        let setup = self.setup.borrow();
        let setup = setup.as_ref().map(|s| (Rc::clone(&s.layout), s.labels));
        let helper = self.helpers.borrow().iter().find(|h| h.is_idle()).cloned();
        let waiting = helper.and_then(|helper| {
            let answer = helper.send(part, adapter)?;
            Some((helper, answer))
        });
        async move {
            let ((layout, labels), (helper, answer)) = (setup?, waiting?);
            let patience = PATIENCE_MS + 2 * now().saturating_sub(asked);
            let pause = TimeoutFuture::new(u32::try_from(patience).unwrap_or(u32::MAX));
            let words = match select(answer, pause).await {
                Either::Left((words, _)) => words.ok()?,
                Either::Right(_) => {
                    helper.was_late();
                    return None;
                }
            };
            let result = result(&words, part, &layout, labels);
            match result {
                Some(_) => {
                    helper.late.set(0);
                    self.helped.set(self.helped.get().saturating_add(1));
                }
                None => helper.end(),
            }
            result
        }
    }
}

/// The part's result, if that is what the words are.
fn result(words: &[u32], part: &Job, layout: &AdapterLayout, labels: usize) -> Option<JobResult> {
    let Ok(Answer::Done(_, result)) = Answer::decode(words, layout) else {
        return None;
    };
    let fits = match (&result, part) {
        (JobResult::Scores(scores), Job::Scores(texts)) => {
            let whole = |scores: &Vec<f32>| scores.len() == labels;
            scores.len() == texts.len() && scores.iter().all(whole)
        }
        (JobResult::Gradient(_), Job::Gradient(_)) => true,
        _ => false,
    };
    fits.then_some(result)
}

impl Helper {
    /// Sends everything that the helper needs; it says by itself when it is ready.
    fn start(
        crew: &Rc<Crew>,
        spawn: &Function,
        files: &[(String, Blob)],
        setup: &str,
    ) -> Option<Rc<Self>> {
        let channel = MessageChannel::new().ok()?;
        let module = wasm_bindgen::module();
        let end = spawn
            .call2(&JsValue::UNDEFINED, &channel.port2(), &module)
            .ok()?;
        let helper = Rc::new(Self {
            port: channel.port1(),
            end: end.dyn_into().ok(),
            state: Cell::new(State::Starting),
            number: Cell::new(0),
            late: Cell::new(0),
            crew: Rc::downgrade(crew),
            adapter: RefCell::default(),
            waiting: RefCell::default(),
            on_message: RefCell::default(),
        });
        let weak = Rc::downgrade(&helper);
        let on_message = Listener::new(move |event: MessageEvent| {
            if let Some(helper) = Weak::upgrade(&weak) {
                helper.hear(&event.data());
            }
        });
        let function = on_message.as_ref().unchecked_ref();
        helper.port.set_onmessage(Some(function));
        helper.on_message.replace(Some(on_message));
        let message = Array::of1(&setup.into());
        for (name, blob) in files {
            message.push(&Array::of2(&name.into(), blob));
        }
        helper.port.post_message(&message).ok()?;
        Some(helper)
    }

    fn is_idle(&self) -> bool {
        self.state.get() == State::Idle
    }

    fn send(&self, part: &Job, adapter: &Adapter) -> Option<oneshot::Receiver<Vec<u32>>> {
        let number = self.number.get().wrapping_add(1);
        let values = wire::values(adapter);
        // It keeps the adapter merged into its weights as long as that is the same.
        let adapter = (*self.adapter.borrow() != values).then_some(values);
        let ask = Ask {
            number,
            adapter,
            job: part.clone(),
        };
        let words = Uint32Array::from(&ask.encode()[..]);
        let transfer = Array::of1(&words.buffer());
        let posted = self.port.post_message_with_transferable(&words, &transfer);
        if posted.is_err() {
            self.end();
            return None;
        }
        if let Some(values) = ask.adapter {
            self.adapter.replace(values);
        }
        let (sender, receiver) = oneshot::channel();
        self.number.set(number);
        self.state.set(State::Busy);
        self.waiting.replace(Some(sender));
        Some(receiver)
    }

    fn hear(&self, data: &JsValue) {
        let words = data.dyn_ref::<Uint32Array>().map(Uint32Array::to_vec);
        let kind = words.as_ref().map(|words| Answer::kind(words));
        match (words, kind, self.state.get()) {
            (Some(_), Some(Ok(Kind::Ready)), State::Starting) => self.state.set(State::Idle),
            (Some(words), Some(Ok(Kind::Of(number))), State::Busy)
                if number == self.number.get() =>
            {
                self.state.set(State::Idle);
                if let Some(waiting) = self.waiting.take() {
                    // Nobody waits any more for one that comes too late.
                    let _ = waiting.send(words);
                }
            }
            // Its program broke off, or it does not do as agreed.
            _ => self.end(),
        }
        if let Some(crew) = self.crew.upgrade() {
            crew.tell(Round::GoesOn);
        }
    }

    /// Nobody waits for the answer any more; until it comes, the helper is not asked again.
    fn was_late(&self) {
        self.waiting.take();
        self.late.set(self.late.get() + 1);
        if self.late.get() >= LATE_ANSWERS {
            self.end();
        }
    }

    fn end(&self) {
        self.state.set(State::Gone);
        self.waiting.take();
        self.port.close();
        if let Some(end) = &self.end {
            // What the page's function does with the Worker is its own.
            let _ = end.call0(&JsValue::UNDEFINED);
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.port.set_onmessage(None);
        if self.state.get() != State::Gone {
            self.end();
        }
    }
}

/// The side of a helper: it lives in a Worker of its own and answers what comes by its port.
#[wasm_bindgen(js_name = Helper)]
#[derive(Debug)]
pub struct HelperPort {
    _on_message: Listener,
}

#[wasm_bindgen(js_class = Helper)]
impl HelperPort {
    /// A helper that waits for its model and texts.
    #[wasm_bindgen(constructor)]
    pub fn new(port: MessagePort) -> Self {
        let helper = Rc::new(RefCell::new(None));
        let own = port.clone();
        let on_message = Listener::new(move |event: MessageEvent| {
            let (data, port) = (event.data(), own.clone());
            match data.dyn_into::<Uint32Array>() {
                Ok(ask) => {
                    let answer = answer(&mut helper.borrow_mut(), &ask.to_vec());
                    send(&port, &answer);
                }
                Err(setup) => {
                    let helper = Rc::clone(&helper);
                    spawn_local(async move {
                        match load(&setup).await {
                            Some(loaded) => {
                                helper.replace(Some(loaded));
                                send(&port, &Answer::Ready);
                            }
                            None => send(&port, &Answer::Failed(0)),
                        }
                    });
                }
            }
        });
        port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Self {
            _on_message: on_message,
        }
    }
}

fn answer(helper: &mut Option<helper::Helper>, ask: &[u32]) -> Answer {
    let number = ask.first().copied().unwrap_or(0);
    let answer = helper.as_mut().map(|helper| helper.answer(ask));
    // The client does the part itself, and finds the cause if it is not the helper.
    answer
        .and_then(Result::ok)
        .unwrap_or(Answer::Failed(number))
}

/// The helper of a setup's text, followed by the name and the Blob of each of the model's files.
async fn load(setup: &JsValue) -> Option<helper::Helper> {
    let parts: Vec<JsValue> = setup.dyn_ref::<Array>()?.iter().collect();
    let (setup, parts) = parts.split_first()?;
    let mut files = Vec::new();
    for part in parts {
        let name = Reflect::get_u32(part, 0).ok()?.as_string()?;
        let blob: Blob = Reflect::get_u32(part, 1).ok()?.dyn_into().ok()?;
        let content = JsFuture::from(blob.array_buffer()).await.ok()?;
        files.push((name, Uint8Array::new(&content).to_vec()));
    }
    // In the order of a download's plan: configuration, tokenizer, weights.
    let [(_, config), (_, tokenizer), weights @ ..] = &files[..] else {
        return None;
    };
    let weights = weights.iter();
    let weights = weights.map(|(name, content)| WeightFile::from_bytes(name, content));
    let base = BaseModel::from_files(config, tokenizer, weights).ok()?;
    helper::Helper::new(base, &setup.as_string()?).ok()
}

fn send(port: &MessagePort, answer: &Answer) {
    let words = Uint32Array::from(&answer.encode()[..]);
    let transfer = Array::of1(&words.buffer());
    // A port that takes nothing any more has no client behind it.
    let _ = port.post_message_with_transferable(&words, &transfer);
}
