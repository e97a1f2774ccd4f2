//! In a real browser's worker: rounds that a client shares with helpers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]
#![cfg(target_arch = "wasm32")]

#[allow(dead_code, reason = "shared with other tests")]
mod numbers;
#[allow(dead_code, reason = "shared with other tests")]
mod page;
mod server;

use std::cell::RefCell;
use std::rc::Rc;

use client_wasm::address::Origin;
use client_wasm::crew::wire::values;
use client_wasm::js::{Client, HelperPort};
use client_wasm::messages::{Command, Event, Join};
use fl_core::settings::{Quorum, RoomSettings};
use js_sys::Function;
use learner::testing::{Files, Shape};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::*;
use web_sys::MessagePort;

use numbers::{corpus, distance, settings};
use page::{Network, Page, Rooms, sleep};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

const ROUNDS: u32 = 2;

fn alone_in_a_room() -> RoomSettings {
    let mut settings = settings();
    settings.round.rounds = ROUNDS;
    settings.round.minimum = 1;
    settings.round.quorum = Quorum::Count(1);
    settings
}

async fn serve(files: &Files) -> Network {
    let network = Network::new().await;
    let origin = Origin::parse("http://lpfl.test").unwrap();
    let name = |file: &str| origin.model_file("tiny", file);
    network.has(&name("config.json"), &files.config);
    network.has(&name("tokenizer.json"), &files.tokenizer);
    network.has(&name("model.safetensors"), &files.weights);
    network.has(&origin.corpus("toy"), corpus().as_bytes());
    network
}

fn tell(client: &Client, command: &Command) {
    let text = serde_json::to_string(command).unwrap();
    client.command(page::evaluate(&format!("({text})")));
}

fn workers(events: &[Event]) -> Vec<(u32, u32)> {
    let workers = |event: &Event| match event {
        Event::Workers { ready, helped } => Some((*ready, *helped)),
        _ => None,
    };
    events.iter().filter_map(workers).collect()
}

/// Plays a room to its end, from when so many workers are ready; its adapter and what the page
/// heard.
async fn play(spawn: Option<Function>, workers: u32, ready: Option<u32>) -> (Vec<f32>, Vec<Event>) {
    let files = Files::new(Shape::TINY, 21);
    let network = serve(&files).await;
    let rooms = Rooms::open(alone_in_a_room(), &files);
    let page = Page::new();
    let client = Client::new(page.function(), spawn);
    let join = Join {
        origin: "http://lpfl.test".into(),
        room: "TOY".into(),
        name: "Ada".into(),
        resume: None,
        texts: None,
        workers,
    };
    tell(&client, &Command::Join(join));
    if let Some(ready) = ready {
        // Else a small round may be over before the helpers are there.
        tell(&client, &Command::Pause);
        page.hears(|event| matches!(event, Event::Workers { ready: r, .. } if *r == ready))
            .await;
        tell(&client, &Command::Resume);
    }
    let ended = |event: &Event| matches!(event, Event::Adopted { round: ROUNDS, .. });
    page.hears(ended).await;
    let events = page.events();
    let fault = |event: &Event| matches!(event, Event::Fault(_));
    assert!(!events.iter().any(fault), "{events:?}");
    // Helpers have the model from the client.
    assert_eq!(network.take_fetched().len(), 4);
    tell(&client, &Command::Leave);
    sleep(50).await;
    (values(&rooms.adapter()), events)
}

type Spawn = Closure<dyn FnMut(MessagePort, JsValue)>;

/// Helpers beside the client, behind the browser's own ports: what a Worker of theirs would do, on
/// one thread.
fn helpers() -> (Spawn, Rc<RefCell<Vec<HelperPort>>>) {
    let helpers = Rc::new(RefCell::new(Vec::new()));
    let made = Rc::clone(&helpers);
    let spawn = Spawn::new(move |port, _| made.borrow_mut().push(HelperPort::new(port)));
    (spawn, helpers)
}

fn function(spawn: &Spawn) -> Option<Function> {
    Some(spawn.as_ref().clone().unchecked_into())
}

#[wasm_bindgen_test]
async fn two_workers_train_what_one_trains() {
    let (alone, events) = play(None, 2, None).await;
    assert!(workers(&events).is_empty());
    for count in [1, 2, 3] {
        let (spawn, helpers) = helpers();
        let (together, events) = play(function(&spawn), count, (count > 1).then_some(count)).await;
        assert_eq!(helpers.borrow().len() as u32, count - 1);
        let told = workers(&events);
        let (ready, helped) = told.last().copied().unwrap_or((1, 0));
        assert_eq!(ready, count, "{told:?}");
        assert_eq!(helped > 0, count > 1, "{told:?}");
        let apart = distance(&together, &alone);
        assert!(apart < 1e-4, "{count} workers: {apart:e}");
    }
}

#[wasm_bindgen_test]
async fn a_helper_that_fails_changes_nothing() {
    let (alone, _) = play(None, 1, None).await;
    let helpers = [
        (
            "cannot be made",
            "(() => { throw new Error('no workers here'); })",
        ),
        ("never begins", "((port) => {})"),
        ("breaks off at once", "((port) => port.postMessage(null))"),
        // The others say that they are ready.
        (
            "breaks off at the first part",
            "((port) => { port.onmessage = ({ data }) => port.postMessage( \
             data instanceof Uint32Array ? null : new Uint32Array([3])); })",
        ),
        (
            "answers nonsense",
            "((port) => { port.onmessage = ({ data }) => port.postMessage( \
             new Uint32Array(data instanceof Uint32Array ? [4, data[0], 2, 7] : [3])); })",
        ),
        (
            "says no more than that it is ready",
            "((port) => { port.onmessage = ({ data }) => { \
             if (!(data instanceof Uint32Array)) port.postMessage(new Uint32Array([3])); }; })",
        ),
    ];
    for (number, (what, spawn)) in helpers.into_iter().enumerate() {
        let ready = (number > 2).then_some(2);
        let spawn: Function = page::evaluate(spawn).unchecked_into();
        let (together, events) = play(Some(spawn), 2, ready).await;
        let apart = distance(&together, &alone);
        assert!(apart < 1e-4, "a helper that {what}: {apart:e}");
        let helped = workers(&events).iter().any(|(_, helped)| *helped > 0);
        assert!(!helped, "a helper that {what}");
    }
}
