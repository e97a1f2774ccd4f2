//! One room's task: feeds its machine with messages, time and results, and carries out its effects.

mod early;
mod elsewhere;
mod heavy;
mod inspection;
mod recorded;
mod ways;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::codec;
use fl_core::error::Fault;
use fl_core::protocol::{ClientMessage, Evaluated, Receipt, Report, ServerHeader, ServerMessage};
use fl_core::room::{ConnectionId, Effect, Hello, Millis, OwnerCommand, ProcessId, Room};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::evaluation::Evaluator;
use crate::in_flight::Share;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::secrets;
use crate::storage::Storage;
use crate::store::Change;

use early::Early;
pub(crate) use elsewhere::Elsewhere;
pub(crate) use heavy::heavily;
pub(crate) use inspection::Inspection;

use ways::Ways;

/// What a reader is told that does not keep up.
pub(crate) const SLOW: &str = "The client reads too slowly: its queue is full.";

/// What a room's task takes in.
#[derive(Debug)]
pub(crate) enum Input {
    /// A connection said hello.
    Join {
        connection: ConnectionId,
        hello: Hello,
        outbox: Outbox,
    },
    /// A text message.
    Message {
        connection: ConnectionId,
        message: ClientMessage,
    },
    /// An update, decoded.
    Report {
        connection: ConnectionId,
        report: Box<Report>,
        adapter: Adapter,
        bytes: usize,
        /// As it came, in a room that is recorded.
        frame: Option<Bytes>,
        /// The memory that it may take; given back when the room has taken it in.
        share: Option<Share>,
    },
    /// A connection is gone.
    Gone { connection: ConnectionId },
    /// The owner's wish.
    Command {
        command: OwnerCommand,
        answer: oneshot::Sender<Result<(), Fault>>,
    },
    /// What there is to know, as JSON.
    Inspect { answer: oneshot::Sender<String> },
    /// The newest global adapter.
    Global {
        answer: oneshot::Sender<(u32, Arc<Adapter>, AdapterHash)>,
    },
    /// The server evaluated one of its adapters.
    Evaluated(Evaluated),
    /// What another process of the service says.
    Elsewhere { process: ProcessId, what: Elsewhere },
}

/// The task's state.
pub(crate) struct RoomActor {
    room: Room,
    ways: Ways,
    store: Storage,
    storing: JoinSet<Result<(), String>>,
    /// Old adapters being removed, which nobody waits for.
    pruning: JoinSet<()>,
    evaluator: Evaluator,
    limits: Limits,
    /// PEFT's configuration of the room's adapters.
    adapter_config: Bytes,
    metrics: Metrics,
    begun: Instant,
    view_at: Instant,
    view_due: bool,
    global_frame: Option<(AdapterHash, Bytes)>,
    /// Updates that came between two rounds and belong into the next one.
    early: Early,
}

impl RoomActor {
    pub(crate) fn new(
        room: Room,
        store: Storage,
        evaluator: Evaluator,
        limits: Limits,
        adapter_config: Bytes,
        metrics: Metrics,
    ) -> Self {
        Self {
            room,
            ways: Ways::default(),
            store,
            storing: JoinSet::new(),
            pruning: JoinSet::new(),
            evaluator,
            limits,
            adapter_config,
            metrics,
            begun: Instant::now(),
            view_at: Instant::now(),
            view_due: false,
            global_frame: None,
            early: Early::default(),
        }
    }

    /// Runs until `stop` or until nobody can send any more; a round being stored is finished.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Input>, stop: CancellationToken) {
        self.evaluate_unless_known();
        self.record_base().await;
        loop {
            self.tick();
            self.carry_out().await;
            self.take_early().await;
            let wake = self.wake();
            tokio::select! {
                () = stop.cancelled() => break,
                input = inbox.recv() => match input {
                    Some(input) => self.take(input).await,
                    None => break,
                },
                Some(stored) = self.storing.join_next() => {
                    self.stored(stored.unwrap_or_else(|error| Err(error.to_string())));
                }
                () = sleep_until(wake) => {}
            }
        }
        while let Some(stored) = self.storing.join_next().await {
            if let Ok(Err(error)) = stored {
                tracing::error!(room = self.room.code(), %error, "the last round is not stored");
            }
        }
        while self.pruning.join_next().await.is_some() {}
    }

    fn now(&self) -> Millis {
        self.begun.elapsed().as_millis() as Millis
    }

    fn tick(&mut self) {
        let now = self.now();
        if self.room.next_tick().is_some_and(|at| at <= now) {
            self.heavily(|room| room.tick(now));
        }
        self.view_due |= self.room.take_changed();
        if self.view_due && Instant::now() >= self.view_at {
            self.view_due = false;
            self.view_at = Instant::now() + self.view_interval();
            self.broadcast(&ServerMessage::Room(self.room.view(now)));
        }
    }

    /// A large room is shown less often: its views would fill the network.
    fn view_interval(&self) -> Duration {
        let for_all = Duration::from_millis(self.ways.count() as u64);
        self.limits.view_interval.max(for_all)
    }

    fn wake(&self) -> Instant {
        let tick = self
            .room
            .next_tick()
            .map(|at| self.begun + Duration::from_millis(at.max(self.now() + 1)));
        let view = self.view_due.then_some(self.view_at);
        let hour = Instant::now() + Duration::from_secs(3600);
        [tick, view].into_iter().flatten().fold(hour, Instant::min)
    }

    async fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Report { connection, .. }
                if self.room.has_to_wait(connection) && !self.early.holds(connection) =>
            {
                self.early.push(connection, input);
            }
            Input::Join {
                connection,
                hello,
                outbox,
            } => self.join(connection, hello, outbox, now),
            Input::Message {
                connection,
                message,
            } => self.heavily(|room| room.message(connection, message, now)),
            Input::Report {
                connection,
                report,
                adapter,
                bytes,
                frame,
                share,
            } => {
                let counts =
                    self.heavily(|room| room.report(connection, &report, &adapter, bytes, now));
                if let (Some(counted), Some(frame)) = (counts, frame) {
                    self.record(counted, frame).await;
                }
                drop(share);
            }
            Input::Gone { connection } => {
                self.ways.remove(connection);
                self.early.forget(connection);
                self.heavily(|room| room.disconnected(connection, now));
            }
            Input::Command { command, answer } => {
                let result = self.heavily(|room| room.command(command, now));
                // Answered when what follows from it is on its way.
                self.carry_out().await;
                let _ = answer.send(result);
            }
            Input::Inspect { answer } => {
                let _ = answer.send(Inspection::of(&self.room, now));
            }
            Input::Global { answer } => {
                let (round, adapter, hash) = self.room.global();
                let _ = answer.send((round, Arc::clone(adapter), hash));
            }
            Input::Evaluated(evaluated) => {
                let change = Change::Evaluated(evaluated.clone());
                self.store.note(self.room.code(), change).await;
                self.room.evaluated(evaluated);
            }
            Input::Elsewhere { process, what } => self.take_elsewhere(process, what, now),
        }
    }

    /// Takes in what had to wait for the next round.
    async fn take_early(&mut self) {
        while let Some(input) = self.early.next(|from| self.room.has_to_wait(from)) {
            self.take(input).await;
            self.carry_out().await;
        }
    }

    fn join(&mut self, connection: ConnectionId, hello: Hello, outbox: Outbox, now: Millis) {
        match secrets::token() {
            Ok(token) => {
                self.ways.add(connection, outbox);
                self.room.hello(connection, hello, token, now);
            }
            Err(fault) => outbox.refuse(fault),
        }
    }

    fn stored(&mut self, result: Result<(), String>) {
        let now = self.now();
        match result {
            Ok(()) => {
                self.room.stored(now);
                if let Some(record) = self.room.history().last() {
                    self.metrics.round(record);
                }
                self.evaluate_unless_known();
                let (round, _, hash) = self.room.global();
                tracing::info!(room = self.room.code(), round, %hash, "round stored");
                self.prune(round);
            }
            Err(error) => {
                tracing::error!(room = self.room.code(), %error, "round not stored");
                self.room.store_failed(&error, now);
            }
        }
    }

    fn evaluate_unless_known(&self) {
        let (round, adapter, hash) = self.room.global();
        let known = |evaluated: &Evaluated| (evaluated.round, evaluated.hash) == (round, hash);
        if !self.room.evaluations().iter().any(known) {
            self.evaluator.evaluate(round, Arc::clone(adapter), hash);
        }
    }

    /// Runs a step of the machine that may add, average or hash whole adapters.
    fn heavily<T>(&mut self, step: impl FnOnce(&mut Room) -> T) -> T {
        let adapter = Arc::clone(self.room.global().1);
        heavily(&adapter, || step(&mut self.room))
    }

    /// Carries out effects in their order; what they cause in turn comes after them.
    async fn carry_out(&mut self) {
        loop {
            let effects = self.room.take_effects();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.effect(effect).await;
                self.drop_broken();
            }
        }
    }

    async fn effect(&mut self, effect: Effect) {
        let code = self.room.code();
        match effect {
            Effect::Send(connection, message) => {
                if let ServerMessage::Receipt(Receipt {
                    fault: Some(fault), ..
                }) = &message
                {
                    self.metrics.refused_update(fault.code);
                }
                self.ways
                    .send_text(connection, codec::encode_text(&message));
            }
            Effect::SendGlobal(connection) => {
                let (room, known) = (&self.room, &mut self.global_frame);
                self.ways
                    .send_global(connection, || global_frame(room, known));
            }
            Effect::Broadcast(message) => self.broadcast(&message),
            Effect::BroadcastGlobal => {
                let frame = global_frame(&self.room, &mut self.global_frame);
                let (round, _, hash) = self.room.global();
                self.ways.send_global_to_all(round, hash, frame);
            }
            Effect::Close(connection, fault) => {
                self.ways.close(connection, fault);
            }
            Effect::Collect {
                round,
                attempt,
                processes,
            } => {
                for process in processes {
                    self.ways.collect(process, round, attempt);
                }
            }
            Effect::Store(record, adapter, optimizer) => {
                let (store, code) = (self.store.clone(), code.to_owned());
                let config = self.adapter_config.clone();
                self.storing.spawn(async move {
                    store
                        .complete(&code, config, record, adapter, optimizer)
                        .await
                });
            }
            Effect::StoreAbandoned(record) => {
                self.metrics.round(&record);
                self.store.note(code, Change::Round(Box::new(record))).await;
            }
            Effect::StoreMember(member) => self.store.note(code, Change::Member(member)).await,
            Effect::ForgetMember(id) => self.store.note(code, Change::Forget(id)).await,
            Effect::StoreActivity(activity) => {
                self.store.note(code, Change::Activity(activity)).await;
            }
        }
    }

    /// Removes old adapters in the background, once `newest` is stored.
    fn prune(&mut self, newest: u32) {
        while self.pruning.try_join_next().is_some() {}
        let (store, code) = (self.store.clone(), self.room.code().to_owned());
        let kept = self.kept(newest);
        self.pruning
            .spawn(async move { store.prune(&code, kept).await });
    }

    /// Rounds whose adapters stay on disk when `newest` is stored: the last ones and the best.
    fn kept(&self, newest: u32) -> BTreeSet<u32> {
        let evaluations = self.room.evaluations().iter();
        let best = evaluations.max_by(|a, b| a.accuracy.total_cmp(&b.accuracy));
        let first = newest.saturating_sub(self.limits.kept_adapters.saturating_sub(1) as u32);
        (first..=newest)
            .chain(best.map(|best| best.round))
            .collect()
    }

    fn broadcast(&mut self, message: &ServerMessage) {
        self.ways.send_text_to_all(codec::encode_text(message));
        self.drop_broken();
    }

    /// Lets go of readers that are too slow, and of processes that cannot be reached.
    fn drop_broken(&mut self) {
        let now = self.now();
        let (slow, stuck) = self.ways.take_broken();
        for connection in slow {
            if let Some(outbox) = self.ways.remove(connection) {
                tracing::info!(
                    room = self.room.code(),
                    connection = connection.0,
                    "slow reader"
                );
                outbox.cut(Fault::overloaded(SLOW));
                self.room.disconnected(connection, now);
            }
        }
        for process in stuck {
            self.lose_process(process, now);
        }
    }
}

/// The newest global adapter's frame, encoded once.
fn global_frame(room: &Room, known: &mut Option<(AdapterHash, Bytes)>) -> Bytes {
    let (round, adapter, hash) = room.global();
    if let Some((newest, frame)) = known
        && *newest == hash
    {
        return frame.clone();
    }
    let header = ServerHeader::Global { round, hash };
    let frame = Bytes::from(codec::encode_binary(&header, adapter));
    *known = Some((hash, frame.clone()));
    frame
}
