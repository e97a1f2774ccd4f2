//! What a monitoring system can ask: counted as it happens, in the words of Prometheus.
//!
//! No label has a room's code or a client's name: codes let people in, and names are theirs. Every
//! label has few values, all from this program.

mod exclusions;

use std::fmt;
use std::sync::Arc;

use fl_core::error::FaultCode;
use fl_core::protocol::{RoundOutcome, RoundRecord};
use memory_stats::memory_stats;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: String,
}

/// Counts and measures of one server. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    rounds: Family<Outcome, Counter>,
    duration: Histogram,
    participants: Histogram,
    exclusions: Family<Reason, Counter>,
    refused_connections: Family<Code, Counter>,
    refused_updates: Family<Code, Counter>,
    /// Bytes that came over all connections, of HTTP and WebSockets.
    pub(crate) received: Counter,
    /// Bytes that went.
    pub(crate) sent: Counter,
    /// Open WebSockets.
    pub(crate) connections: Gauge,
    /// Messages queued for WebSockets.
    pub(crate) send_queues: Gauge,
    rooms: Gauge,
    room_queues: Gauge,
    store_queue: Gauge,
    in_flight: Gauge,
    memory: Gauge,
}

/// What is measured at the moment that somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    pub(crate) rooms: usize,
    /// Messages that wait for rooms.
    pub(crate) room_queues: usize,
    /// Changes that wait for the database.
    pub(crate) store_queue: usize,
    /// Bytes that updates under way may take.
    pub(crate) in_flight: usize,
}

impl Metrics {
    /// Nothing counted yet.
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            rounds: Family::default(),
            // A tenth of a second to just below two hours, the longest deadline.
            duration: Histogram::new(exponential_buckets(0.1, 2.0, 17)),
            participants: Histogram::new(exponential_buckets(1.0, 2.0, 15)),
            exclusions: Family::default(),
            refused_connections: Family::default(),
            refused_updates: Family::default(),
            received: Counter::default(),
            sent: Counter::default(),
            connections: Gauge::default(),
            send_queues: Gauge::default(),
            rooms: Gauge::default(),
            room_queues: Gauge::default(),
            store_queue: Gauge::default(),
            in_flight: Gauge::default(),
            memory: Gauge::default(),
        };
        metrics.registry = Arc::new(metrics.registered());
        metrics.begin();
        metrics
    }

    /// Lets what has not happened yet count 0: no rate sees the first of a counter that was not there.
    fn begin(&self) {
        for outcome in ["completed", "abandoned"] {
            drop(self.rounds.get_or_create(&Outcome { outcome }));
        }
        for reason in exclusions::kinds() {
            drop(self.exclusions.get_or_create(&Reason { reason }));
        }
        // Of the codes, the one that nobody should ever see.
        for family in [&self.refused_connections, &self.refused_updates] {
            let code = label(FaultCode::Internal);
            drop(code.map(|code| family.get_or_create(&code)));
        }
    }

    fn registered(&self) -> Registry {
        let mut registry = Registry::with_prefix("lpfl");
        let all = &mut registry;
        all.register(
            "rounds",
            "Rounds that are over, by outcome",
            self.rounds.clone(),
        );
        let help = "From selection to aggregation of completed rounds";
        all.register_with_unit("round_duration", help, Unit::Seconds, self.duration.clone());
        let help = "Updates in a completed round";
        all.register("round_participants", help, self.participants.clone());
        let help = "Selected clients whose updates did not go in, by reason";
        all.register("exclusions", help, self.exclusions.clone());
        let help = "WebSockets refused or cut, by the code of the fault";
        all.register(
            "refused_connections",
            help,
            self.refused_connections.clone(),
        );
        let help = "Updates not accepted, by the code of the fault";
        all.register("refused_updates", help, self.refused_updates.clone());
        let help = "What came over all connections";
        all.register_with_unit("received", help, Unit::Bytes, self.received.clone());
        let help = "What went over all connections";
        all.register_with_unit("sent", help, Unit::Bytes, self.sent.clone());
        all.register("connections", "Open WebSockets", self.connections.clone());
        let help = "Messages queued for WebSockets";
        all.register("send_queues", help, self.send_queues.clone());
        all.register("rooms", "Rooms", self.rooms.clone());
        let help = "Messages that wait for rooms";
        all.register("room_queues", help, self.room_queues.clone());
        let help = "Changes that wait for the database";
        all.register("store_queue", help, self.store_queue.clone());
        let help = "Memory set aside for updates under way";
        all.register_with_unit(
            "updates_in_flight",
            help,
            Unit::Bytes,
            self.in_flight.clone(),
        );
        // Absent on systems that do not tell.
        if memory_stats().is_some() {
            let help = "Memory of this process";
            all.register_with_unit("resident_memory", help, Unit::Bytes, self.memory.clone());
        }
        registry
    }

    /// Counts a round that is over, with all whose updates were left out.
    pub(crate) fn round(&self, record: &RoundRecord) {
        let outcome = match record.outcome {
            RoundOutcome::Completed { .. } => "completed",
            RoundOutcome::Abandoned { .. } => "abandoned",
        };
        self.rounds.get_or_create(&Outcome { outcome }).inc();
        if outcome == "completed" {
            self.duration.observe(f64::from(record.duration_ms) / 1e3);
            self.participants.observe(f64::from(record.reported));
        }
        for excluded in &record.excluded {
            let reason = exclusions::kind(&excluded.reason);
            self.exclusions.get_or_create(&Reason { reason }).inc();
        }
    }

    /// Counts a connection that was refused, or cut.
    pub(crate) fn refused_connection(&self, code: FaultCode) {
        count(&self.refused_connections, code);
    }

    /// Counts an update that was not accepted.
    pub(crate) fn refused_update(&self, code: FaultCode) {
        count(&self.refused_updates, code);
    }

    /// Everything in OpenMetrics' text format.
    ///
    /// # Errors
    /// Never: writing to a string does not fail.
    pub(crate) fn text(&self, moment: Moment) -> Result<String, fmt::Error> {
        set(&self.rooms, moment.rooms);
        set(&self.room_queues, moment.room_queues);
        set(&self.store_queue, moment.store_queue);
        set(&self.in_flight, moment.in_flight);
        set(
            &self.memory,
            memory_stats().map_or(0, |memory| memory.physical_mem),
        );
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

fn count(family: &Family<Code, Counter>, code: FaultCode) {
    if let Some(code) = label(code) {
        family.get_or_create(&code).inc();
    }
}

/// The name that the fault has on the wire: a unit variant is a string.
fn label(code: FaultCode) -> Option<Code> {
    match serde_json::to_value(code) {
        Ok(serde_json::Value::String(code)) => Some(Code { code }),
        _ => None,
    }
}

/// Something that a gauge counts as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    /// One more.
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
