//! In a real browser's worker: the learner's numbers, the cache, and whole rounds of the client.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]
#![cfg(target_arch = "wasm32")]

mod numbers;
mod page;
mod server;

use client_wasm::address::Origin;
use client_wasm::host::Host as _;
use client_wasm::js::{Client, Tab};
use client_wasm::library::Library;
use client_wasm::messages::{Command, Event, Join, Storage};
use fl_core::error::FaultCode;
use fl_core::protocol::{ClientId, PROTOCOL_VERSION, Welcome};
use fl_core::random::{Purpose, generator};
use fl_core::settings::{RoomSettings, Texts};
use learner::testing::{self, Files, Shape};
use learner::{LocalClient, Step};
use rand::RngExt as _;
use wasm_bindgen_test::*;

use numbers::{Numbers, compute, corpus, distance, settings};
use page::{Network, Page, Rooms, sleep};
use server::model_info;

wasm_bindgen_test_configure!(run_in_dedicated_worker);

/// The most that a browser's numbers may differ from the native ones, relatively.
const NEAR: f64 = 1e-4;

fn golden() -> (Numbers, Numbers) {
    let golden = serde_json::from_str(include_str!("golden/tiny.json")).unwrap();
    (compute(), golden)
}

#[wasm_bindgen_test]
fn one_training_step_equals_the_native_one() {
    let (here, native) = golden();
    assert!(distance(&[here.loss], &[native.loss]) < NEAR);
    assert!(distance(&[here.gradient_norm], &[native.gradient_norm]) < NEAR);
    for (name, values) in &here.after_one_step {
        let apart = distance(values, &native.after_one_step[name]);
        assert!(apart < NEAR, "{name}: {apart:e}");
    }
}

#[wasm_bindgen_test]
fn soft_labels_equal_the_native_ones() {
    let (here, native) = golden();
    assert_eq!(here.soft_labels.len(), native.soft_labels.len());
    for (here, native) in here.soft_labels.iter().zip(&native.soft_labels) {
        assert!(distance(here, native) < NEAR, "{here:?} {native:?}");
    }
}

#[wasm_bindgen_test]
fn a_whole_round_stays_close_to_the_native_one() {
    let (here, native) = golden();
    assert!(distance(&[here.round_loss], &[native.round_loss]) < 10.0 * NEAR);
    assert!(distance(&[here.round_confidence], &[native.round_confidence]) < NEAR);
    for (name, values) in &here.after_a_round {
        let apart = distance(values, &native.after_a_round[name]);
        // Adam divides by the gradient's size, which lifts rounding errors.
        assert!(apart < 10.0 * NEAR, "{name}: {apart:e}");
    }
}

fn origin() -> Origin {
    Origin::parse("http://lpfl.test").unwrap()
}

fn welcome(files: &Files, settings: RoomSettings) -> Welcome {
    Welcome {
        protocol: PROTOCOL_VERSION,
        room: "TOY".into(),
        client: ClientId(1),
        resume: "token".into(),
        shard: 0,
        settings,
        model: model_info(files),
        recorded: false,
        history: Vec::new(),
        evaluations: Vec::new(),
    }
}

async fn serve(files: &Files) -> Network {
    let network = Network::new().await;
    let name = |file: &str| origin().model_file("tiny", file);
    network.has(&name("config.json"), &files.config);
    network.has(&name("tokenizer.json"), &files.tokenizer);
    network.has(&name("model.safetensors"), &files.weights);
    network.has(&origin().corpus("toy"), corpus().as_bytes());
    network
}

/// Loads as a new tab does; the events and what was fetched.
async fn load(files: &Files, network: &Network) -> (Vec<Event>, Vec<String>) {
    let page = Page::new();
    let tab = Tab::with(page.function());
    let (library, welcome) = (Library::new(), welcome(files, settings()));
    let client = library.client(&tab, &origin(), &welcome, None).await;
    assert_eq!(client.unwrap().gold_by_label(), [4, 4]);
    (page.events(), network.take_fetched())
}

fn storage(events: &[Event]) -> Option<&Storage> {
    events.iter().find_map(|event| match event {
        Event::Storage(storage) => Some(storage),
        _ => None,
    })
}

#[wasm_bindgen_test]
async fn model_files_are_kept_for_the_next_visit() {
    let files = Files::new(Shape::TINY, 11);
    let network = serve(&files).await;
    let (events, fetched) = load(&files, &network).await;
    assert_eq!(storage(&events), Some(&Storage::Cache));
    assert_eq!(fetched.len(), 4, "{fetched:?}");
    let downloads = events.iter().filter_map(|event| match event {
        Event::Download { loaded, total } => Some((*loaded, *total)),
        _ => None,
    });
    let downloads: Vec<(u64, u64)> = downloads.collect();
    assert!(downloads.is_sorted(), "{downloads:?}");
    assert!(
        downloads
            .last()
            .is_some_and(|(loaded, total)| loaded == total)
    );

    let (events, fetched) = load(&files, &network).await;
    assert_eq!(storage(&events), Some(&Storage::Cache));
    assert_eq!(fetched, [origin().corpus("toy")]);
}

#[wasm_bindgen_test]
async fn a_damaged_file_in_the_cache_is_fetched_anew() {
    let files = Files::new(Shape::TINY, 12);
    let network = serve(&files).await;
    load(&files, &network).await;
    let tab = Tab::with(Page::new().function());
    let listed = &model_info(&files).files[2];
    let url = origin().model_file("tiny", &listed.name);
    let key = format!("{url}?sha256={}", listed.sha256);
    assert_eq!(tab.kept(&key).await.as_ref(), Some(&files.weights));
    tab.keep(&key, &files.weights[1..]).await.unwrap();
    let (_, fetched) = load(&files, &network).await;
    assert_eq!(fetched, [origin().corpus("toy"), url]);
    assert_eq!(tab.kept(&key).await.as_ref(), Some(&files.weights));
}

#[wasm_bindgen_test]
async fn an_older_version_makes_room_for_a_newer_one() {
    let tab = Tab::with(Page::new().function());
    let key = |version: u32| format!("http://lpfl.test/api/models/x/f?sha256={version}");
    tab.keep(&key(1), b"one").await.unwrap();
    tab.keep(&key(2), b"two").await.unwrap();
    assert_eq!(tab.kept(&key(1)).await, None);
    assert_eq!(tab.kept(&key(2)).await.as_deref(), Some(&b"two"[..]));
}

#[wasm_bindgen_test]
async fn a_refused_quota_means_memory_only() {
    let files = Files::new(Shape::TINY, 13);
    let network = serve(&files).await;
    let quota = page::refuse_quota();
    let (events, _) = load(&files, &network).await;
    drop(quota);
    let Some(Storage::Memory { reason }) = storage(&events) else {
        panic!("{events:?}");
    };
    assert!(reason.contains("QuotaExceededError"), "{reason}");
}

#[wasm_bindgen_test]
async fn a_page_without_a_cache_means_memory_only() {
    let files = Files::new(Shape::TINY, 14);
    let network = serve(&files).await;
    let hidden = page::hide_caches();
    let (events, _) = load(&files, &network).await;
    drop(hidden);
    assert!(matches!(storage(&events), Some(Storage::Memory { .. })));
}

#[wasm_bindgen_test]
async fn a_file_that_the_server_lacks_is_a_clear_fault() {
    let files = Files::new(Shape::TINY, 15);
    let network = Network::new().await;
    network.has(&origin().corpus("toy"), corpus().as_bytes());
    let page = Page::new();
    let tab = Tab::with(page.function());
    let welcome = welcome(&files, settings());
    let library = Library::new();
    let fault = library
        .client(&tab, &origin(), &welcome, None)
        .await
        .unwrap_err();
    assert!(fault.message.contains("config.json"), "{fault}");
    assert!(fault.message.contains("404"), "{fault}");
}

#[wasm_bindgen_test]
async fn a_broken_connection_is_tried_again() {
    let files = Files::new(Shape::TINY, 16);
    let network = serve(&files).await;
    network.fails_next();
    let (events, fetched) = load(&files, &network).await;
    assert_eq!(fetched.len(), 5, "{fetched:?}");
    let told = |event: &Event| matches!(event, Event::Fault(f) if f.mend.contains("again"));
    assert_eq!(events.iter().filter(|event| told(event)).count(), 1);
}

#[wasm_bindgen_test]
async fn what_is_no_command_gives_a_fault() {
    let page = Page::new();
    let client = Client::new(page.function(), None);
    let no_commands = [
        "7",
        "'join'",
        "({type: 'dance'})",
        "(() => 1)",
        "undefined",
        "Symbol()",
    ];
    for (number, what) in no_commands.iter().enumerate() {
        client.command(page::evaluate(what));
        let events = page.events();
        let Some(Event::Fault(fault)) = events.last() else {
            panic!("{what}: {events:?}");
        };
        assert_eq!(fault.code, FaultCode::Malformed, "{what}");
        assert_eq!(events.len(), number + 1, "{what}");
    }
}

#[wasm_bindgen_test]
async fn own_texts_are_needed_where_clients_bring_them() {
    let files = Files::new(Shape::TINY, 17);
    let own = RoomSettings {
        texts: Texts::Own,
        ..settings()
    };
    let tab = Tab::with(Page::new().function());
    let network = serve(&files).await;
    let welcome = welcome(&files, own);
    let library = Library::new();
    let fault = library
        .client(&tab, &origin(), &welcome, None)
        .await
        .unwrap_err();
    assert_eq!(fault.code, FaultCode::BadSettings);
    assert!(network.take_fetched().is_empty());
}

fn join(name: &str) -> Command {
    Command::Join(Join {
        origin: "http://lpfl.test".into(),
        room: "TOY".into(),
        name: name.into(),
        resume: None,
        texts: None,
        workers: 1,
    })
}

fn command(client: &Client, command: &Command) {
    client.command(page::evaluate(&format!(
        "({})",
        serde_json::to_string(command).unwrap()
    )));
}

#[wasm_bindgen_test]
async fn two_clients_learn_together() {
    let mut settings = settings();
    settings.round.rounds = 3;
    let files = Files::new(Shape::TINY, 18);
    let _network = serve(&files).await;
    let rooms = Rooms::open(settings, &files);
    let pages = [Page::new(), Page::new()];
    let clients = pages
        .each_ref()
        .map(|page| Client::new(page.function(), None));
    for (client, name) in clients.iter().zip(["Ada", "Bo"]) {
        command(client, &join(name));
    }
    let adopted = |page: &Page| {
        page.events()
            .into_iter()
            .rev()
            .find_map(|event| match event {
                Event::Adopted { round: 3, hash } => Some(hash),
                _ => None,
            })
    };
    for _ in 0..600 {
        if pages.iter().all(|page| adopted(page).is_some()) {
            break;
        }
        sleep(50).await;
    }
    let hashes = pages.each_ref().map(adopted);
    assert_eq!(hashes[0], Some(rooms.hash()), "{:?}", pages[0].events());
    assert_eq!(hashes[0], hashes[1]);
    let text = "warm food".into();
    command(&clients[0], &Command::Classify { id: 1, text });
    sleep(200).await;
    let answered = |event: &Event| {
        matches!(
            event,
            Event::Classified {
                id: 1,
                round: 3,
                ..
            }
        )
    };
    assert!(pages[0].events().iter().any(answered));
    command(&clients[0], &Command::Leave);
    sleep(50).await;
    assert_eq!(
        pages[0].events().last(),
        Some(&Event::Stopped { fault: None })
    );
}

#[wasm_bindgen_test]
async fn pause_gets_through_while_the_client_works() {
    let mut settings = settings();
    settings.training.epochs = 100;
    settings.round.minimum = 1;
    settings.round.quorum = fl_core::settings::Quorum::Count(1);
    let files = Files::new(Shape::TINY, 19);
    let _network = serve(&files).await;
    let _rooms = Rooms::open(settings, &files);
    let page = Page::new();
    let client = Client::new(page.function(), None);
    command(&client, &join("Ada"));
    let steps = || {
        let events = page.events();
        events
            .iter()
            .filter(|event| matches!(event, Event::Progress(_)))
            .count()
    };
    while steps() < 5 {
        sleep(10).await;
    }
    command(&client, &Command::Pause);
    let before = steps();
    sleep(100).await;
    let paused = steps();
    // The step that runs when the command comes may end, and no other begins.
    assert!(paused <= before + 1, "{before} {paused}");
    sleep(300).await;
    assert_eq!(steps(), paused);
    command(&client, &Command::Resume);
    sleep(300).await;
    assert!(steps() > paused);
    command(&client, &Command::Leave);
    sleep(50).await;
    assert_eq!(page.events().last(), Some(&Event::Stopped { fault: None }));
}

/// Not a limit of its own: it shows what a round costs in this browser.
#[wasm_bindgen_test]
async fn a_round_of_a_small_model_takes_seconds() {
    let mut settings = RoomSettings {
        task: testing::task(),
        ..RoomSettings::default()
    };
    settings.task.max_tokens = 96;
    let mut rng = generator(0, Purpose::Shuffle, 0);
    let mut content = "text,label\n".to_owned();
    for index in 0..56 {
        let words = [
            "food", "film", "room", "very", "warm", "cold", "fast", "slow",
        ];
        let length = rng.random_range(15..23);
        let text: Vec<&str> = (0..length).map(|_| words[rng.random_range(0..8)]).collect();
        let label = ["negative", "positive"][index % 2];
        content.push_str(&format!("{},{label}\n", text.join(" ")));
    }
    let base = Files::new(Shape::MINI, 1).load().unwrap();
    let tab = Tab::with(Page::new().function());
    let mut client = LocalClient::new(base, &settings, 0, content.as_bytes()).unwrap();
    for round in [1, 2, 5] {
        client.begin(round).unwrap();
        let (start, mut longest, mut steps) = (tab.now(), 0, 0);
        let outcome = loop {
            let before = tab.now();
            let step = client.step().unwrap();
            longest = longest.max(tab.now() - before);
            steps += 1;
            if let Step::Finished(outcome) = step {
                break outcome;
            }
        };
        let time = tab.now() - start;
        console_log!(
            "round {round}: {} gold, {} soft, {steps} steps in {time} ms, longest {longest} ms",
            outcome.gold,
            outcome.soft
        );
        assert!(time < 120_000);
    }
}
