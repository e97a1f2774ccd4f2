//! A federation in one thread: real machines and frames, a virtual clock, links that fail.

mod network;
mod server;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use fl_core::adapter::{Adapter, AdapterHash, Matrix};
use fl_core::aggregate::OptimizerState;
use fl_core::codec::encode_text;
use fl_core::error::Fault;
use fl_core::member::MemberRecord;
use fl_core::protocol::{ClientId, ModelInfo, RoundRecord, ServerMessage, WorkOrder};
use fl_core::replay::RecordedUpdate;
use fl_core::room::{Activity, ConnectionId, Millis, Room};
use fl_core::session::{Action, Global, Notice, Session, SessionConfig, WorkResult};
use fl_core::settings::RoomSettings;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How badly the world behaves.
#[derive(Clone, Debug)]
pub struct World {
    pub clients: usize,
    pub seed: u64,
    /// Chance that a link breaks when a frame is sent on it, with what is in flight.
    pub loss: f64,
    /// Chance that a client loses its link when it begins to work.
    pub dropout: f64,
    /// Chance that a client dies for good while it works.
    pub crash: f64,
    /// Times at which the server is killed and started from what it stored.
    pub restarts: Vec<Millis>,
    /// Whether every update that counts is kept.
    pub record: bool,
    pub settings: RoomSettings,
}

#[derive(Clone)]
enum Frame {
    Text(Arc<str>),
    Binary(Arc<[u8]>),
}

enum Event {
    Join(usize),
    Opened(usize, ConnectionId),
    ToServer(ConnectionId, Frame),
    ToClient(ConnectionId, Frame),
    ServerSeesEnd(ConnectionId),
    ClientSeesEnd(usize, ConnectionId),
    WorkDone(usize, u64),
    ClientTick(usize),
    RoomTick,
    Stored,
    Heartbeat,
    Restart,
}

struct Client {
    session: Option<Session<ChaCha8Rng>>,
    link: Option<ConnectionId>,
    /// Increases with every piece of work begun or stopped, so that old results are told apart.
    work: u64,
    order: Option<(WorkOrder, Global)>,
    dead: bool,
    stopped: Option<Fault>,
    /// The tick that is scheduled; others are left-overs.
    tick: Millis,
}

/// Updates by round and attempt, in the order in which they came.
pub type Updates = BTreeMap<(u32, u32), Vec<RecordedUpdate>>;

#[derive(Default)]
struct Disk {
    members: BTreeMap<ClientId, MemberRecord>,
    history: Vec<RoundRecord>,
    activity: Option<Activity>,
    updates: Updates,
    global: Option<(u32, Arc<Adapter>, Arc<OptimizerState>)>,
}

pub struct Simulation {
    world: World,
    now: Millis,
    sequence: u64,
    queue: BinaryHeap<Reverse<(Millis, u64)>>,
    events: BTreeMap<u64, Event>,
    rng: ChaCha8Rng,
    room: Room,
    disk: Disk,
    pending: Option<(RoundRecord, Arc<Adapter>, Arc<OptimizerState>)>,
    clients: Vec<Client>,
    links: BTreeMap<ConnectionId, (usize, Millis)>,
    next_link: u64,
    room_tick: Millis,
    /// Updates that came between two rounds.
    early: Vec<(ConnectionId, Frame)>,
    finished_at: Option<Millis>,
}

/// What came of it.
pub struct Outcome {
    pub hash: AdapterHash,
    pub history: Vec<RoundRecord>,
    pub updates: Updates,
    /// Hash of every client that is alive; none where it has no adapter.
    pub live: Vec<Option<AdapterHash>>,
    pub elapsed: Millis,
    pub frames: u64,
}

pub fn initial() -> Adapter {
    let matrix = |rows, columns, value| Matrix {
        rows,
        columns,
        values: vec![value; 6],
    };
    let matrices = [
        ("m.lora_A.weight".to_owned(), matrix(2, 3, 1.0)),
        ("m.lora_B.weight".to_owned(), matrix(3, 2, 0.0)),
    ];
    Adapter {
        matrices: matrices.into(),
    }
}

impl Simulation {
    pub fn new(world: World) -> Self {
        let room = Room::new(
            "ROOM42".into(),
            world.settings.clone(),
            ModelInfo::default(),
            Arc::new(initial()),
        );
        let client = || Client {
            session: None,
            link: None,
            work: 0,
            order: None,
            dead: false,
            stopped: None,
            tick: 0,
        };
        let mut simulation = Self {
            now: 0,
            sequence: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(world.seed),
            room,
            disk: Disk::default(),
            pending: None,
            clients: (0..world.clients).map(|_| client()).collect(),
            links: BTreeMap::new(),
            next_link: 0,
            room_tick: 0,
            early: Vec::new(),
            finished_at: None,
            world,
        };
        for client in 0..simulation.clients.len() {
            let after = simulation.rng.random_range(0..20_000);
            simulation.schedule(after, Event::Join(client));
        }
        for at in simulation.world.restarts.clone() {
            simulation.schedule(at, Event::Restart);
        }
        simulation.schedule(15_000, Event::Heartbeat);
        simulation
    }

    /// Runs until the room is finished and everyone had two quiet minutes to catch up.
    pub fn run(mut self) -> Outcome {
        let mut frames = 0;
        while let Some(Reverse((at, sequence))) = self.queue.pop() {
            let event = self.events.remove(&sequence).unwrap();
            self.now = at;
            frames += u64::from(matches!(event, Event::ToServer(..) | Event::ToClient(..)));
            self.handle(event);
            if self
                .finished_at
                .is_some_and(|finished| at > finished + 120_000)
            {
                break;
            }
            assert!(
                at < 100 * 3_600_000,
                "the room does not finish: {:?}",
                self.room.view(at)
            );
        }
        let live = self
            .clients
            .iter()
            .filter(|client| !client.dead && client.stopped.is_none());
        let hash = |client: &Client| Some(client.session.as_ref()?.global()?.hash);
        Outcome {
            hash: self.room.global().2,
            history: self.room.history().cloned().collect(),
            updates: self.disk.updates,
            live: live.map(hash).collect(),
            elapsed: self.finished_at.unwrap(),
            frames,
        }
    }

    fn schedule(&mut self, after: Millis, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + after, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Join(client) => self.join(client),
            Event::Opened(client, link) if self.links.contains_key(&link) => {
                self.drive(client, |session, _| session.opened());
            }
            Event::ToServer(link, frame) if self.links.contains_key(&link) => {
                self.server_reads(link, frame);
            }
            Event::ToClient(link, frame) => {
                let Some(&(client, _)) = self.links.get(&link) else {
                    return;
                };
                self.drive(client, |session, now| match &frame {
                    Frame::Text(text) => session.text(text, now),
                    Frame::Binary(bytes) => session.binary(bytes, now),
                });
            }
            Event::ServerSeesEnd(link) => {
                self.links.remove(&link);
                self.early.retain(|(early, _)| *early != link);
                self.room.disconnected(link, self.now);
                self.settle_server();
            }
            Event::ClientSeesEnd(client, link) => {
                self.links.remove(&link);
                if self.clients[client].link == Some(link) {
                    self.clients[client].link = None;
                    self.drive(client, |session, now| session.closed(now));
                }
            }
            Event::WorkDone(client, work) if self.clients[client].work == work => {
                self.work_done(client);
            }
            Event::ClientTick(client) if self.clients[client].tick == self.now => {
                self.drive(client, |session, now| session.tick(now));
            }
            Event::RoomTick if self.room_tick == self.now => {
                self.room.tick(self.now);
                self.settle_server();
            }
            Event::Stored => {
                if let Some((record, adapter, optimizer)) = self.pending.take() {
                    self.disk.global = Some((record.round, adapter, optimizer));
                    self.disk.history.push(record);
                    self.room.stored(self.now);
                    self.settle_server();
                }
            }
            Event::Heartbeat => {
                for link in self.links.keys().copied().collect::<Vec<_>>() {
                    let heartbeat = Frame::Text(encode_text(&ServerMessage::Heartbeat).into());
                    self.transmit(link, heartbeat, Event::ToClient);
                }
                self.schedule(15_000, Event::Heartbeat);
            }
            Event::Restart => self.restart(),
            // Of a link that broke, of work that was stopped, or a tick that another one replaced.
            Event::Opened(..)
            | Event::ToServer(..)
            | Event::WorkDone(..)
            | Event::ClientTick(_)
            | Event::RoomTick => {}
        }
    }

    fn join(&mut self, client: usize) {
        let config = SessionConfig {
            room: "ROOM42".into(),
            name: format!("tab {client}"),
            resume: None,
        };
        let rng = ChaCha8Rng::seed_from_u64(self.world.seed ^ (client as u64 + 1) << 20);
        self.clients[client].session = Some(Session::new(config, rng, self.now));
        self.drive(client, |_, _| {});
    }

    fn drive(&mut self, client: usize, act: impl FnOnce(&mut Session<ChaCha8Rng>, Millis)) {
        let now = self.now;
        let state = &mut self.clients[client];
        let Some(session) = state.session.as_mut().filter(|_| !state.dead) else {
            return;
        };
        act(session, now);
        loop {
            let Some(session) = self.clients[client].session.as_mut() else {
                return;
            };
            let actions = session.take_actions();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.client_acts(client, action);
            }
        }
        let next = self.clients[client]
            .session
            .as_ref()
            .and_then(Session::next_tick);
        if let Some(at) = next.map(|at| at.max(now + 1))
            && at != self.clients[client].tick
        {
            self.clients[client].tick = at;
            self.schedule(at - now, Event::ClientTick(client));
        }
    }

    fn client_acts(&mut self, client: usize, action: Action) {
        match action {
            Action::Connect => {
                self.next_link += 1;
                let link = ConnectionId(self.next_link);
                self.links.insert(link, (client, self.now));
                self.clients[client].link = Some(link);
                let after = self.rng.random_range(5..200);
                self.schedule(after, Event::Opened(client, link));
            }
            Action::SendText(text) => self.client_sends(client, Frame::Text(text.into())),
            Action::SendBinary(bytes) => self.client_sends(client, Frame::Binary(bytes.into())),
            Action::Disconnect => {
                if let Some(link) = self.clients[client].link.take() {
                    // What was sent before is still under way; the end follows it.
                    let after = self.order(link);
                    self.schedule(after, Event::ServerSeesEnd(link));
                }
            }
            Action::Prepare(welcome) => {
                let gold = welcome.settings.seed + 4 + welcome.shard % 5;
                self.clients[client]
                    .session
                    .as_mut()
                    .unwrap()
                    .prepared(gold, 40);
            }
            Action::Adopt(_) => {}
            Action::Work(order, global) => {
                self.clients[client].work += 1;
                self.clients[client].order = Some((order, global));
                let dies = self.rng.random_bool(self.world.crash);
                self.clients[client].dead = dies;
                if (dies || self.rng.random_bool(self.world.dropout))
                    && let Some(link) = self.clients[client].link
                {
                    self.cut(link);
                }
                let after = self.rng.random_range(500..8_000);
                self.schedule(after, Event::WorkDone(client, self.clients[client].work));
            }
            Action::StopWork => {
                self.clients[client].work += 1;
                self.clients[client].order = None;
            }
            Action::Notify(Notice::Stopped(fault)) => self.clients[client].stopped = fault,
            Action::Notify(_) => {}
        }
    }

    fn work_done(&mut self, client: usize) {
        let Some((_, global)) = self.clients[client].order.take() else {
            return;
        };
        let mut adapter = (*global.adapter).clone();
        for matrix in adapter.matrices.values_mut() {
            matrix
                .values
                .iter_mut()
                .for_each(|value| *value += 0.01 * (client as f32 - 3.0));
        }
        let result = WorkResult {
            gold: 4,
            soft: 8,
            steps: 6,
            loss_first: 0.7,
            loss_last: 0.5,
            confidence: 0.8,
            work_ms: 100,
        };
        self.drive(client, |session, _| session.finished(result, &adapter));
    }

    fn client_sends(&mut self, client: usize, frame: Frame) {
        if let Some(link) = self.clients[client].link {
            self.transmit(link, frame, Event::ToServer);
        }
    }
}
