//! One client without a machine under it: the session's actions become the learner's work and
//! events for people, commands and frames go in, orders for the shell come out.

use fl_core::adapter::AdapterHash;
use fl_core::error::Fault;
use fl_core::protocol::{Progress, Stage, Welcome, WorkOrder};
use fl_core::room::Millis;
use fl_core::session::{Action, Global, Notice, Session, SessionConfig, WorkResult};
use learner::{Holding, LocalClient, Outcome, Step};
use rand_chacha::ChaCha8Rng;

use crate::faults;
use crate::messages::{Command, Connection, Direction, Event, Traffic};

/// Sentences that wait for the model; older ones are dropped.
const QUESTIONS_KEPT: usize = 16;

/// What the shell has to do.
#[derive(Debug)]
pub enum Order {
    /// Open a connection, then call [`Driver::opened`], or [`Driver::closed`] if it fails.
    Connect,
    /// Send a text frame.
    SendText(String),
    /// Send a binary frame.
    SendBinary(Vec<u8>),
    /// Close the connection; its end need not be reported.
    Disconnect,
    /// Load model and texts, then call [`Driver::loaded`] or [`Driver::load_failed`]. A load that
    /// still goes on is given up.
    Load(Box<Welcome>),
    /// Tell the page, or whoever watches.
    Emit(Event),
}

/// Whether local work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Running,
    Paused,
}

/// A client of a room.
#[derive(Debug)]
pub struct Driver {
    session: Session<ChaCha8Rng>,
    client: Option<LocalClient>,
    adopted: Option<(u32, AdapterHash)>,
    activity: Activity,
    /// Time spent in the current round's steps.
    worked: Millis,
    last_progress: Option<Progress>,
    holding: Option<Holding>,
    questions: Vec<(u32, String)>,
    stopped_by: Option<Fault>,
    orders: Vec<Order>,
}

impl Driver {
    /// A client that connects at once; `rng` spreads reconnections.
    pub fn new(config: SessionConfig, rng: ChaCha8Rng, now: Millis) -> Self {
        let mut driver = Self {
            session: Session::new(config, rng, now),
            client: None,
            adopted: None,
            activity: Activity::Running,
            worked: 0,
            last_progress: None,
            holding: None,
            questions: Vec::new(),
            stopped_by: None,
            orders: Vec::new(),
        };
        driver.act();
        driver
    }

    /// What to do since the last call, in order.
    pub fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// Whether the client has stopped for good.
    pub fn is_stopped(&self) -> bool {
        self.session.is_stopped()
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_tick(&self) -> Option<Millis> {
        self.session.next_tick()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Millis) {
        self.session.tick(now);
        self.act();
    }

    /// The connection is open.
    pub fn opened(&mut self) {
        self.session.opened();
        self.act();
    }

    /// The connection is gone or could not be opened.
    pub fn closed(&mut self, now: Millis) {
        self.session.closed(now);
        self.act();
    }

    /// A text frame came.
    pub fn text(&mut self, text: &str, now: Millis) {
        self.session.text(text, now);
        self.act();
    }

    /// A binary frame came.
    pub fn binary(&mut self, frame: &[u8], now: Millis) {
        self.session.binary(frame, now);
        self.act();
    }

    /// The person wants something.
    pub fn command(&mut self, command: Command) {
        match command {
            Command::Join(_) => self.emit(Event::Fault(faults::out_of_order("one join"))),
            Command::Classify { id, text } => self.question(id, text),
            Command::Pause => self.activity = Activity::Paused,
            Command::Resume => self.activity = Activity::Running,
            // The host's, as workers are.
            Command::Workers { .. } => {}
            Command::Leave => {
                self.session.leave();
                self.act();
            }
        }
    }

    /// Model and texts are here.
    pub fn loaded(&mut self, client: LocalClient) {
        self.emit(Event::Texts {
            gold_by_label: client.gold_by_label(),
            unlabelled: client.unlabelled(),
            skipped: client.skipped().to_vec(),
        });
        let (gold, unlabelled) = (client.gold(), client.unlabelled());
        self.client = Some(client);
        self.adopted = None;
        self.tell_holding();
        self.emit(Event::Ready);
        self.session.prepared(gold, unlabelled);
        self.act();
        for (id, text) in std::mem::take(&mut self.questions) {
            self.question(id, text);
        }
    }

    /// Model or texts cannot be had: the client leaves the room.
    pub fn load_failed(&mut self, fault: Fault) {
        self.stopped_by = Some(fault);
        self.session.leave();
        self.act();
    }

    /// Whether [`Self::step`] has something to do now.
    pub fn has_work(&self) -> bool {
        self.activity == Activity::Running
            && self.client.as_ref().is_some_and(LocalClient::is_working)
    }

    /// Does a piece of local work, by `clock`'s time.
    pub fn step(&mut self, clock: impl Fn() -> Millis) {
        let Some(client) = self.working() else {
            return;
        };
        let before = clock();
        let step = client.step();
        self.stepped(step, before, clock());
    }

    /// The client, if it has work: a host that does its step in another way says so to
    /// [`Self::stepped`].
    pub fn working(&mut self) -> Option<&mut LocalClient> {
        self.client.as_mut().filter(|client| client.is_working())
    }

    /// A step of the client was done, from `before` until `now`.
    pub fn stepped(&mut self, step: learner::Result<Step>, before: Millis, now: Millis) {
        self.worked += now.saturating_sub(before);
        match step {
            Ok(Step::Progress(progress)) => {
                self.tell_holding();
                self.session.progress(progress.clone(), now);
                self.last_progress = Some(progress.clone());
                self.emit(Event::Progress(progress));
            }
            Ok(Step::Finished(outcome)) => self.finished(outcome),
            Err(error) => {
                self.session.failed(&error.to_string());
                self.emit(Event::Fault(faults::work(&error)));
            }
        }
        self.act();
    }

    fn finished(&mut self, outcome: Outcome) {
        self.tell_holding();
        if let Some(last) = self.last_progress.take() {
            // The last step's progress is the round's end.
            let done = outcome.steps;
            let progress = Progress {
                stage: Stage::Training,
                done,
                total: done,
                ..last
            };
            self.emit(Event::Progress(progress));
        }
        let result = WorkResult {
            gold: outcome.gold,
            soft: outcome.soft,
            steps: outcome.steps,
            loss_first: outcome.loss_first,
            loss_last: outcome.loss_last,
            confidence: outcome.confidence,
            work_ms: u32::try_from(self.worked).unwrap_or(u32::MAX),
        };
        self.session.finished(result, &outcome.adapter);
    }

    /// Carries out what the session wants, until it wants nothing more.
    fn act(&mut self) {
        loop {
            let actions = self.session.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Connect => self.orders.push(Order::Connect),
            Action::SendText(text) => self.orders.push(Order::SendText(text)),
            Action::SendBinary(frame) => self.orders.push(Order::SendBinary(frame)),
            Action::Disconnect => self.orders.push(Order::Disconnect),
            Action::Prepare(welcome) => self.orders.push(Order::Load(welcome)),
            Action::Adopt(global) => self.adopt(&global),
            Action::Work(order, global) => self.begin(&order, &global),
            Action::StopWork => {
                if let Some(client) = &mut self.client {
                    client.cancel();
                }
                self.last_progress = None;
                self.tell_holding();
            }
            Action::Notify(notice) => self.notify(notice),
        }
    }

    fn adopt(&mut self, global: &Global) {
        let Some(client) = &mut self.client else {
            return;
        };
        let known = (global.round, global.hash);
        if self.adopted == Some(known) {
            return;
        }
        match client.adopt(&global.adapter) {
            Ok(()) => {
                self.adopted = Some(known);
                self.emit(Event::Adopted {
                    round: global.round,
                    hash: global.hash.to_string(),
                });
            }
            Err(error) => self.emit(Event::Fault(faults::unusable_adapter(&error))),
        }
    }

    fn begin(&mut self, order: &WorkOrder, global: &Global) {
        self.adopt(global);
        (self.worked, self.last_progress) = (0, None);
        let adopted = self.adopted.is_some_and(|(_, hash)| hash == order.base);
        let Some(client) = self.client.as_mut().filter(|_| adopted) else {
            let reason = "the adapter does not fit the model that was loaded";
            return self.session.failed(reason);
        };
        match client.begin(order.round) {
            Ok(()) => self.tell_holding(),
            Err(error) => {
                self.session.failed(&error.to_string());
                self.emit(Event::Fault(faults::work(&error)));
            }
        }
    }

    fn question(&mut self, id: u32, text: String) {
        let Some(client) = &self.client else {
            if self.questions.len() == QUESTIONS_KEPT {
                self.questions.remove(0);
            }
            return self.questions.push((id, text));
        };
        let round = self.adopted.map_or(0, |(round, _)| round);
        let answer = match client.classify(&text) {
            Ok(probabilities) => Event::Classified {
                id,
                round,
                probabilities,
            },
            Err(error) => Event::Fault(faults::classify(&error)),
        };
        self.emit(answer);
    }

    fn notify(&mut self, notice: Notice) {
        let traffic = |direction, what: &str, bytes| {
            Event::Traffic(Traffic {
                direction,
                what: what.into(),
                bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            })
        };
        let event = match notice {
            Notice::Connecting => Event::Connection(Connection::Connecting),
            Notice::Waiting(pause) => Event::Connection(Connection::Waiting {
                retry_ms: u32::try_from(pause).unwrap_or(u32::MAX),
            }),
            Notice::Welcomed(welcome) => {
                self.emit(Event::Connection(Connection::Connected));
                Event::Welcomed(welcome)
            }
            Notice::Room(view) => Event::Room(view),
            Notice::RoundEnded(record) => Event::RoundEnded(record),
            Notice::Evaluated(evaluated) => Event::Evaluated(evaluated),
            Notice::Receipt(receipt) => match receipt.fault {
                Some(fault) => Event::Fault(fault),
                None => return,
            },
            Notice::Sent(what, bytes) => traffic(Direction::Up, what, bytes),
            Notice::Received(what, bytes) => traffic(Direction::Down, what, bytes),
            Notice::Fault(fault) => Event::Fault(fault),
            Notice::Stopped(fault) => {
                let fault = fault.or(self.stopped_by.take());
                Event::Stopped { fault }
            }
        };
        self.emit(event);
    }

    /// Tells what the client holds, when that changed.
    fn tell_holding(&mut self) {
        let holding = self.client.as_ref().map(LocalClient::holding);
        if holding == self.holding {
            return;
        }
        if let Some(holding) = &holding {
            self.orders.push(Order::Emit(Event::Holding {
                gold: holding.gold,
                soft: holding.soft,
                remaining: holding.remaining,
                confidence: holding.confidence,
            }));
        }
        self.holding = holding;
    }

    fn emit(&mut self, event: Event) {
        self.orders.push(Order::Emit(event));
    }
}
