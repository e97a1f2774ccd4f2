//! The client's side as a sans-I/O machine: frames, results and time in, actions out.
//!
//! The shell (a tab's worker, or a native client) owns the socket, the learner and the clock. It
//! feeds this machine and carries out [`Action`]s in their order.

mod action;
mod job;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;

use rand::{Rng, RngExt as _};

use crate::adapter::Adapter;
use crate::codec::{
    CodecError, FRAME_LIMIT, SERVER_TEXT_LIMIT, decode_binary, decode_text, encode_text,
};
use crate::compression::Feedback;
use crate::error::Fault;
use crate::protocol::{
    ClientMessage, PROTOCOL_VERSION, Progress, Report, ServerHeader, ServerMessage, Welcome,
    WorkOrder,
};
use crate::room::Millis;

pub use self::action::{Action, Global, Notice, SessionConfig, WorkResult};
use self::job::Job;
use self::upload::Upload;

/// First pause before a reconnection; it doubles with every failure.
const RETRY_FIRST_MS: Millis = 500;
/// Longest pause before a reconnection.
const RETRY_LONGEST_MS: Millis = 15_000;
/// A connection that is not welcomed within this time is given up.
const WELCOME_MS: Millis = 20_000;
/// A connection that carried nothing for this time is given up; the server sends a heartbeat
/// more often.
const SILENCE_MS: Millis = 45_000;
/// Shortest time between two progress messages.
const PROGRESS_MS: Millis = 250;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// No connection; the next one is due at this time.
    Down { retry_at: Millis },
    /// Opened or being opened since this time, not welcomed yet.
    Opening { since: Millis },
    /// Welcomed.
    Up,
    /// Stopped for good.
    Stopped,
}

/// One client's membership of one room.
#[derive(Debug)]
pub struct Session<R> {
    config: SessionConfig,
    rng: R,
    link: Link,
    failures: u32,
    heard: Millis,
    shard: Option<u32>,
    texts: Option<(u32, u32)>,
    global: Option<Global>,
    upload: Upload,
    /// Whether work goes on when a round ends.
    works_on: bool,
    job: Job,
    progress_sent: Millis,
    actions: Vec<Action>,
}

impl<R: Rng> Session<R> {
    /// A session that connects at once; `rng` spreads reconnections.
    pub fn new(config: SessionConfig, rng: R, now: Millis) -> Self {
        let mut session = Self {
            config,
            rng,
            link: Link::Down { retry_at: now },
            failures: 0,
            heard: now,
            shard: None,
            texts: None,
            global: None,
            upload: Upload::default(),
            works_on: false,
            job: Job::Idle,
            progress_sent: 0,
            actions: Vec::new(),
        };
        session.tick(now);
        session
    }

    /// What to do since the last call, in order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The newest global adapter.
    pub fn global(&self) -> Option<&Global> {
        self.global.as_ref()
    }

    /// What a compression has left out of the updates so far.
    pub fn feedback(&self) -> &Feedback {
        self.upload.feedback()
    }

    /// Gives a session that begins again back what was left out.
    pub fn resume_feedback(&mut self, feedback: Feedback) {
        self.upload.counted(feedback);
    }

    /// Whether the session stopped for good.
    pub fn is_stopped(&self) -> bool {
        self.link == Link::Stopped
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_tick(&self) -> Option<Millis> {
        match self.link {
            Link::Down { retry_at } => Some(retry_at),
            Link::Opening { since } => Some(since + WELCOME_MS),
            Link::Up => Some(self.heard + SILENCE_MS),
            Link::Stopped => None,
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Millis) {
        match self.link {
            Link::Down { retry_at } if now >= retry_at => {
                self.link = Link::Opening { since: now };
                self.notify(Notice::Connecting);
                self.actions.push(Action::Connect);
            }
            Link::Opening { since } if now >= since + WELCOME_MS => self.reconnect(now),
            Link::Up if now >= self.heard + SILENCE_MS => self.reconnect(now),
            _ => {}
        }
    }

    /// The connection is open.
    pub fn opened(&mut self) {
        let hello = ClientMessage::Hello {
            protocol: PROTOCOL_VERSION,
            room: self.config.room.clone(),
            name: self.config.name.clone(),
            resume: self.config.resume.clone(),
        };
        self.send(&hello);
    }

    /// The connection is gone or could not be opened.
    pub fn closed(&mut self, now: Millis) {
        if matches!(self.link, Link::Opening { .. } | Link::Up) {
            let pause = (RETRY_FIRST_MS << self.failures.min(10)).min(RETRY_LONGEST_MS);
            let pause = pause / 2 + self.rng.random_range(0..=pause / 2);
            self.failures += 1;
            self.link = Link::Down {
                retry_at: now + pause,
            };
            self.notify(Notice::Waiting(pause));
        }
    }

    fn reconnect(&mut self, now: Millis) {
        self.actions.push(Action::Disconnect);
        self.closed(now);
    }

    /// A text frame came.
    pub fn text(&mut self, text: &str, now: Millis) {
        if !matches!(self.link, Link::Opening { .. } | Link::Up) {
            return;
        }
        self.heard = now;
        match decode_text::<ServerMessage>(text, SERVER_TEXT_LIMIT) {
            Ok(message) => {
                self.notify(Notice::Received(message.kind(), text.len()));
                self.message(message, now);
            }
            Err(error) => self.unreadable(&error),
        }
    }

    /// A binary frame came.
    pub fn binary(&mut self, frame: &[u8], now: Millis) {
        if self.link != Link::Up {
            return;
        }
        self.heard = now;
        match decode_binary::<ServerHeader>(frame, FRAME_LIMIT) {
            Ok((ServerHeader::Global { round, hash }, adapter)) => {
                self.notify(Notice::Received("global", frame.len()));
                if adapter.hash() == hash {
                    self.adopt(Global {
                        round,
                        hash,
                        adapter: Arc::new(adapter),
                    });
                } else {
                    let found = adapter.hash();
                    let message = format!("The global adapter has hash {found}, expected {hash}.");
                    self.notify(Notice::Fault(Fault::internal(message)));
                    self.reconnect(now);
                }
            }
            Err(error) => self.unreadable(&error),
        }
    }

    /// A binary frame came, of so many bytes, that another session of this process has read
    /// already: the same bytes made this global adapter.
    pub fn binary_known(&mut self, global: Global, bytes: usize, now: Millis) {
        if self.link == Link::Up {
            self.heard = now;
            self.notify(Notice::Received("global", bytes));
            self.adopt(global);
        }
    }

    fn unreadable(&mut self, error: &CodecError) {
        let message = format!("A message of the server could not be read: {error}.");
        self.notify(Notice::Fault(Fault::internal(message)));
    }

    fn message(&mut self, message: ServerMessage, now: Millis) {
        match message {
            ServerMessage::Welcome(welcome) => self.welcomed(welcome),
            ServerMessage::Refused(fault) => self.refused(fault, now),
            ServerMessage::Fault(fault) => self.notify(Notice::Fault(fault)),
            ServerMessage::Room(view) => self.notify(Notice::Room(view)),
            ServerMessage::Work(order) => self.work(order),
            ServerMessage::Cancel { round } => {
                if self.job.order().is_some_and(|order| order.round == round) {
                    self.stop_work();
                }
            }
            ServerMessage::Receipt(receipt) => {
                if self
                    .job
                    .order()
                    .is_some_and(|order| order.round == receipt.round)
                {
                    let job = std::mem::replace(&mut self.job, Job::Idle);
                    if let (Job::Reported(_, _, feedback), None) = (job, &receipt.fault) {
                        self.upload.counted(feedback);
                    }
                }
                self.notify(Notice::Receipt(receipt));
            }
            ServerMessage::RoundEnded(record) => {
                let over = !self.works_on
                    && self.job.order().is_some_and(|order| {
                        (order.round, order.attempt) <= (record.round, record.attempt)
                    });
                if over {
                    self.stop_work();
                }
                self.notify(Notice::RoundEnded(record));
            }
            ServerMessage::Evaluated(evaluated) => self.notify(Notice::Evaluated(evaluated)),
            ServerMessage::Heartbeat => {}
        }
    }

    fn welcomed(&mut self, welcome: Box<Welcome>) {
        self.link = Link::Up;
        self.failures = 0;
        self.config.resume = Some(welcome.resume.clone());
        self.upload.configure(&welcome.settings);
        self.works_on = welcome.settings.round.mode.is_asynchronous();
        self.notify(Notice::Welcomed(welcome.clone()));
        // A server that forgot this client deals it other texts.
        if self.shard != Some(welcome.shard) {
            self.shard = Some(welcome.shard);
            self.texts = None;
            self.stop_work();
            self.actions.push(Action::Prepare(welcome));
        } else if self.global.is_some() {
            self.announce_ready();
        }
    }

    fn refused(&mut self, fault: Fault, now: Millis) {
        if fault.code.is_final() {
            self.stop(Some(fault));
        } else {
            self.notify(Notice::Fault(fault));
            self.reconnect(now);
        }
    }

    /// Model and texts are loaded: so many gold and unlabelled texts.
    pub fn prepared(&mut self, gold: u32, unlabelled: u32) {
        self.texts = Some((gold, unlabelled));
        if let Some(global) = self.global.clone() {
            self.actions.push(Action::Adopt(global));
            self.announce_ready();
        }
    }

    fn announce_ready(&mut self) {
        if let (Link::Up, Some((gold, unlabelled))) = (self.link, self.texts) {
            self.send(&ClientMessage::Ready { gold, unlabelled });
        }
    }

    fn adopt(&mut self, global: Global) {
        let known = self
            .global
            .as_ref()
            .is_some_and(|known| known.hash == global.hash);
        let first = self.global.is_none();
        self.global = Some(global.clone());
        if known {
            return;
        }
        self.stop_work();
        if self.texts.is_some() {
            self.actions.push(Action::Adopt(global));
            if first {
                self.announce_ready();
            }
        }
    }

    fn work(&mut self, order: WorkOrder) {
        if self.job.order().is_some_and(|own| own.is_same(&order)) {
            if let Job::Reported(_, frame, _) = &self.job {
                let frame = frame.clone();
                self.send_report(frame);
            }
            return;
        }
        self.stop_work();
        match self.global.clone() {
            Some(global) if global.hash == order.base && self.texts.is_some() => {
                self.job = Job::Working(order.clone());
                self.actions.push(Action::Work(order, global));
            }
            _ => {
                let reason = "the adapter of the work order is not here".to_owned();
                self.send(&ClientMessage::Declined {
                    round: order.round,
                    reason,
                });
            }
        }
    }

    /// The local work goes on.
    pub fn progress(&mut self, progress: Progress, now: Millis) {
        let due = progress.done == 0 || now >= self.progress_sent + PROGRESS_MS;
        if self.link == Link::Up && due {
            self.progress_sent = now;
            self.send(&ClientMessage::Progress(progress));
        }
    }

    /// The local work of the current order is done.
    pub fn finished(&mut self, result: WorkResult, adapter: &Adapter) {
        let (Job::Working(order), Some(global)) = (&self.job, &self.global) else {
            return;
        };
        let report = Report {
            round: order.round,
            attempt: order.attempt,
            base: order.base,
            gold: result.gold,
            soft: result.soft,
            steps: result.steps,
            loss_first: result.loss_first,
            loss_last: result.loss_last,
            confidence: result.confidence,
            work_ms: result.work_ms,
        };
        let (frame, feedback) = self.upload.frame(report, adapter, &global.adapter);
        self.job = Job::Reported(order.clone(), frame.clone(), feedback);
        self.send_report(frame);
    }

    /// The local work of the current order failed.
    pub fn failed(&mut self, reason: &str) {
        let Job::Working(order) = &self.job else {
            return;
        };
        let reason = reason.chars().take(400).collect();
        let declined = ClientMessage::Declined {
            round: order.round,
            reason,
        };
        self.job = Job::Idle;
        self.send(&declined);
    }

    /// The person leaves the room for good.
    pub fn leave(&mut self) {
        self.send(&ClientMessage::Leave);
        self.stop(None);
    }

    fn stop(&mut self, fault: Option<Fault>) {
        if self.link == Link::Stopped {
            return;
        }
        self.stop_work();
        self.link = Link::Stopped;
        self.actions.push(Action::Disconnect);
        self.notify(Notice::Stopped(fault));
    }

    fn stop_work(&mut self) {
        if let Job::Working(_) = std::mem::replace(&mut self.job, Job::Idle) {
            self.actions.push(Action::StopWork);
        }
    }

    fn send(&mut self, message: &ClientMessage) {
        if matches!(self.link, Link::Opening { .. } | Link::Up) {
            let text = encode_text(message);
            self.notify(Notice::Sent(message.kind(), text.len()));
            self.actions.push(Action::SendText(text));
        }
    }

    fn send_report(&mut self, frame: Vec<u8>) {
        if self.link == Link::Up {
            self.notify(Notice::Sent("report", frame.len()));
            self.actions.push(Action::SendBinary(frame));
        }
    }

    fn notify(&mut self, notice: Notice) {
        self.actions.push(Action::Notify(notice));
    }
}
