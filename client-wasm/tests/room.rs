//! Whole rounds of the driver, as tabs and native clients run it, with a room in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]
#![cfg(not(target_arch = "wasm32"))]

#[allow(dead_code, reason = "shared with the browser's tests")]
mod numbers;
mod server;

use client_wasm::driver::{Driver, Order};
use client_wasm::faults;
use client_wasm::host::Frame;
use client_wasm::messages::{Command, Event};
use fl_core::error::FaultCode;
use fl_core::room::{ConnectionId, Millis};
use fl_core::session::SessionConfig;
use fl_core::settings::RoomSettings;
use learner::testing::{Files, Shape};
use learner::{BaseModel, LocalClient};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use numbers::{corpus, settings};
use server::{Server, model_info};

struct Peer {
    driver: Driver,
    events: Vec<Event>,
}

struct Federation {
    base: BaseModel,
    server: Server,
    peers: Vec<Peer>,
    now: Millis,
}

impl Federation {
    fn new(settings: &RoomSettings, peers: u64) -> Self {
        let files = Files::new(Shape::TINY, 1);
        let base = files.load().unwrap();
        let client = LocalClient::new(base.clone(), settings, 0, corpus().as_bytes()).unwrap();
        drop(client);
        let learner = learner::Learner::new(base.clone(), &settings.task, &settings.lora).unwrap();
        let initial = learner.initial_adapter(settings.seed);
        let peer = |seed| {
            let config = SessionConfig {
                room: "TOY".into(),
                name: format!("peer {seed}"),
                resume: None,
            };
            Peer {
                driver: Driver::new(config, ChaCha8Rng::seed_from_u64(seed), 0),
                events: Vec::new(),
            }
        };
        Self {
            server: Server::new(settings.clone(), model_info(&files), initial),
            peers: (0..peers).map(peer).collect(),
            base,
            now: 0,
        }
    }

    /// Carries every order and frame until nobody has one; true if there were any.
    fn settle(&mut self) -> bool {
        let mut any = false;
        loop {
            let mut frames = self.server.settle(self.now);
            for number in 0..self.peers.len() {
                frames.extend(self.orders(number));
            }
            if frames.is_empty() {
                return any;
            }
            any = true;
            for (to, frame) in frames {
                let driver = &mut self.peers[to.0 as usize].driver;
                match frame {
                    Frame::Text(text) => driver.text(&text, self.now),
                    Frame::Binary(bytes) => driver.binary(&bytes, self.now),
                }
            }
        }
    }

    /// Carries out what one peer wants; returns what the server sends for it.
    fn orders(&mut self, number: usize) -> Vec<(ConnectionId, Frame)> {
        let mut answers = Vec::new();
        let connection = ConnectionId(number as u64);
        let peer = &mut self.peers[number];
        loop {
            let orders = peer.driver.take_orders();
            if orders.is_empty() {
                return answers;
            }
            for order in orders {
                let mut send = |frame| {
                    answers.extend(self.server.take(connection, &frame, self.now));
                };
                match order {
                    Order::Connect => peer.driver.opened(),
                    Order::SendText(text) => send(Frame::Text(text)),
                    Order::SendBinary(bytes) => send(Frame::Binary(bytes)),
                    Order::Disconnect => {}
                    Order::Load(welcome) => {
                        let (base, content) = (self.base.clone(), corpus());
                        let (settings, shard) = (&welcome.settings, welcome.shard);
                        let client = LocalClient::new(base, settings, shard, content.as_bytes());
                        peer.driver.loaded(client.unwrap());
                    }
                    Order::Emit(event) => peer.events.push(event),
                }
            }
        }
    }

    /// One step of every peer that has work; true if there was any.
    fn work(&mut self) -> bool {
        self.now += 10;
        let now = self.now;
        let mut any = false;
        for peer in self.peers.iter_mut().filter(|peer| peer.driver.has_work()) {
            peer.driver.step(|| now);
            any = true;
        }
        any
    }

    fn run(&mut self) {
        // Until there is nothing to do even after a second, which is longer than a room waits
        // between two rounds.
        let mut idle = 0;
        while idle < 100 {
            let busy = self.work() | self.settle();
            idle = if busy { 0 } else { idle + 1 };
        }
    }
}

fn two_rounds() -> RoomSettings {
    let mut settings = settings();
    settings.round.rounds = 2;
    settings
}

fn adopted(peer: &Peer) -> Vec<(u32, String)> {
    let adopted = |event: &Event| match event {
        Event::Adopted { round, hash } => Some((*round, hash.clone())),
        _ => None,
    };
    peer.events.iter().filter_map(adopted).collect()
}

#[test]
fn every_peer_ends_with_the_room_s_adapter() {
    let mut federation = Federation::new(&two_rounds(), 2);
    federation.run();
    let (completed, _, hash) = federation.server.room.global();
    assert_eq!(completed, 2);
    for peer in &federation.peers {
        let adopted = adopted(peer);
        assert_eq!(adopted.last(), Some(&(2, hash.to_string())));
        assert_eq!(adopted.len(), 3, "{adopted:?}");
        let faults: Vec<&Event> = peer
            .events
            .iter()
            .filter(|event| matches!(event, Event::Fault(_)))
            .collect();
        assert!(faults.is_empty(), "{faults:?}");
        let last = |test: fn(&&Event) -> bool| peer.events.iter().rfind(test);
        let holding = last(|event| matches!(event, Event::Holding { .. }));
        assert!(
            matches!(
                holding,
                Some(Event::Holding {
                    gold: 8,
                    soft: 12,
                    remaining: 12,
                    ..
                })
            ),
            "{holding:?}"
        );
        let progress = last(|event| matches!(event, Event::Progress(_)));
        assert!(
            matches!(progress, Some(Event::Progress(p)) if p.done == p.total && p.round == 2),
            "{progress:?}"
        );
    }
}

#[test]
fn a_paused_client_works_no_further_but_answers() {
    let mut federation = Federation::new(&two_rounds(), 2);
    federation.settle();
    federation.peers[0].driver.command(Command::Pause);
    federation.run();
    assert_eq!(federation.server.room.global().0, 0);
    let peer = &mut federation.peers[0];
    assert!(!peer.driver.has_work());
    let text = "warm food".to_owned();
    peer.driver.command(Command::Classify { id: 7, text });
    federation.settle();
    let peer = &mut federation.peers[0];
    let answered = |event: &Event| {
        matches!(
            event,
            Event::Classified {
                id: 7,
                round: 0,
                ..
            }
        )
    };
    assert!(peer.events.iter().any(answered));
    peer.driver.command(Command::Resume);
    federation.run();
    assert_eq!(federation.server.room.global().0, 2);
}

#[test]
fn questions_before_the_model_is_there_wait_for_it() {
    let mut federation = Federation::new(&two_rounds(), 1);
    let text = "warm food".to_owned();
    federation.peers[0]
        .driver
        .command(Command::Classify { id: 1, text });
    federation.settle();
    let answer = federation.peers[0]
        .events
        .iter()
        .find_map(|event| match event {
            Event::Classified { probabilities, .. } => Some(probabilities.clone()),
            _ => None,
        });
    let sum: f32 = answer.unwrap().iter().sum();
    assert!((sum - 1.0).abs() < 1e-5);
}

#[test]
fn a_client_that_cannot_load_leaves_and_says_why() {
    let mut federation = Federation::new(&two_rounds(), 1);
    let peer = &mut federation.peers[0];
    peer.driver.take_orders();
    peer.driver.opened();
    peer.driver.load_failed(faults::texts_needed());
    let orders = peer.driver.take_orders();
    let said = |order: &Order| matches!(order, Order::SendText(text) if text.contains("leave"));
    assert!(orders.iter().any(said), "{orders:?}");
    let Some(Order::Emit(Event::Stopped { fault: Some(fault) })) = orders.last() else {
        panic!("{orders:?}");
    };
    assert_eq!(fault.code, FaultCode::BadSettings);
    assert!(peer.driver.is_stopped());
}

#[test]
fn leaving_stops_without_a_fault() {
    let mut federation = Federation::new(&two_rounds(), 2);
    federation.settle();
    federation.peers[0].driver.command(Command::Leave);
    federation.run();
    let peer = &federation.peers[0];
    assert_eq!(peer.events.last(), Some(&Event::Stopped { fault: None }));
    assert_eq!(federation.server.room.view(federation.now).connected, 1);
}
