//! What the stubs measure: how long every step took, and what became of whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fl_core::adapter::AdapterHash;
use fl_core::error::FaultCode;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::misbehaviour::Misdeed;

/// Longest time that is told from longer ones, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;

/// A step of a client's way, whose time is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// From the connection's beginning to the open WebSocket.
    Connect,
    /// From hello to the welcome.
    Welcome,
    /// From the work order to the report's last byte in the system's hands.
    Report,
    /// From the report's first byte to its receipt.
    Acknowledge,
    /// From the report's first byte to the new global adapter.
    Global,
}

impl Step {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Connect, "connect"),
        (Self::Welcome, "hello → welcome"),
        (Self::Report, "work order → report sent"),
        (Self::Acknowledge, "report → acknowledgement"),
        (Self::Global, "report → new global adapter"),
    ];
}

/// Everything that is measured of all clients.
#[derive(Debug)]
pub struct Measures {
    steps: BTreeMap<Step, Histogram<u64>>,
    groups: BTreeMap<Option<Misdeed>, Group>,
    counts: Counts,
    rounds: BTreeSet<u32>,
    parameters: usize,
    first_work: Option<Instant>,
    last_global: Option<Instant>,
    last_hashes: BTreeSet<AdapterHash>,
    stopped: Option<String>,
}

/// What is counted of all clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Clients that the room took in.
    pub welcomed: u32,
    /// Clients that saw the room finish and have its last adapter.
    pub finished: u32,
    /// Clients that had to stop.
    pub stopped: u32,
    /// Connections that broke, or were cut, and were opened again.
    pub reconnects: u64,
    /// Reports sent.
    pub reports: u64,
    /// Reports that count.
    pub updates: u64,
    /// Bytes of frames sent.
    pub bytes_up: u64,
    /// Bytes of frames received.
    pub bytes_down: u64,
}

/// Clients with the same misdeed, or with none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Group {
    clients: u32,
    /// Times that they misbehaved.
    misdeeds: u64,
    /// What they were told, by kind of fault.
    faults: BTreeMap<FaultCode, u64>,
}

impl Measures {
    /// Nothing is measured yet of clients with these misdeeds.
    pub fn new(dealt: &[Option<Misdeed>]) -> Self {
        let mut groups: BTreeMap<Option<Misdeed>, Group> = BTreeMap::new();
        for misdeed in dealt {
            groups.entry(*misdeed).or_default().clients += 1;
        }
        Self {
            steps: BTreeMap::new(),
            groups,
            counts: Counts::default(),
            rounds: BTreeSet::new(),
            parameters: 0,
            first_work: None,
            last_global: None,
            last_hashes: BTreeSet::new(),
            stopped: None,
        }
    }

    /// A step took this long.
    pub fn took(&mut self, step: Step, time: Duration) {
        let micros = u64::try_from(time.as_micros())
            .unwrap_or(LONGEST)
            .clamp(1, LONGEST);
        if let Some(histogram) = self.histogram(step) {
            histogram.saturating_record(micros);
        }
    }

    fn histogram(&mut self, step: Step) -> Option<&mut Histogram<u64>> {
        use std::collections::btree_map::Entry;
        Some(match self.steps.entry(step) {
            Entry::Occupied(entry) => entry.into_mut(),
            // Within the bounds that the library allows.
            Entry::Vacant(entry) => entry.insert(Histogram::new_with_bounds(1, LONGEST, 3).ok()?),
        })
    }

    /// What is only counted.
    pub fn counts(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// A client got a work order, on an adapter of so many parameters.
    pub fn ordered(&mut self, parameters: usize, now: Instant) {
        self.parameters = parameters;
        self.first_work.get_or_insert(now);
    }

    /// A client of this kind misbehaved.
    pub fn misbehaved(&mut self, misdeed: Misdeed) {
        self.groups.entry(Some(misdeed)).or_default().misdeeds += 1;
    }

    /// A client of this kind was told of a fault.
    pub fn faulted(&mut self, misdeed: Option<Misdeed>, code: FaultCode) {
        let faults = &mut self.groups.entry(misdeed).or_default().faults;
        *faults.entry(code).or_default() += 1;
    }

    /// A report counts.
    pub fn counted(&mut self, round: u32) {
        self.counts.updates += 1;
        self.rounds.insert(round);
    }

    /// A client took over the adapter that its round made.
    pub fn adopted(&mut self, now: Instant) {
        self.last_global = self.last_global.max(Some(now));
    }

    /// A client saw the room finish, with this adapter.
    pub fn finished(&mut self, hash: AdapterHash) {
        self.counts.finished += 1;
        self.last_hashes.insert(hash);
    }

    /// A client had to stop; of one that misbehaves that is no error.
    pub fn stopped(&mut self, misdeed: Option<Misdeed>, reason: String) {
        self.counts.stopped += 1;
        if misdeed.is_none() {
            self.stopped.get_or_insert(reason);
        }
    }

    /// Whether all is well.
    ///
    /// # Errors
    /// Clients that end on different adapters, or well-behaved ones that had to stop.
    pub fn verdict(&self) -> Result<(), String> {
        if self.last_hashes.len() > 1 {
            let hashes = self.last_hashes.len();
            return Err(format!("the clients ended on {hashes} different adapters"));
        }
        match &self.stopped {
            Some(reason) => Err(format!("{} clients stopped: {reason}", self.counts.stopped)),
            None => Ok(()),
        }
    }

    /// Everything in one object.
    pub fn report(&self, clients: u32, seed: u64) -> Report {
        let span = self.first_work.zip(self.last_global);
        let seconds = span.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        let updates = self.counts.updates as f64;
        let step = |(step, _)| Some((step, Percentiles::of(self.steps.get(&step)?)));
        let misbehaving = self.groups.iter();
        Report {
            clients,
            seed,
            parameters: self.parameters,
            counts: self.counts,
            rounds: self.rounds.len(),
            seconds,
            updates_per_s: if seconds > 0.0 {
                updates / seconds
            } else {
                0.0
            },
            latency_ms: Step::ALL.into_iter().filter_map(step).collect(),
            well_behaved: self.groups.get(&None).cloned().unwrap_or_default(),
            misbehaving: misbehaving
                .filter_map(|(misdeed, group)| Some(((*misdeed)?, group.clone())))
                .collect(),
            adapter: match self.last_hashes.len() {
                1 => self.last_hashes.first().copied(),
                _ => None,
            },
        }
    }
}

/// What was measured, as it is printed.
#[derive(Debug, Serialize)]
pub struct Report {
    clients: u32,
    seed: u64,
    parameters: usize,
    #[serde(flatten)]
    counts: Counts,
    /// Rounds in which a report counted.
    rounds: usize,
    /// From the first work order to the last new global adapter.
    seconds: f64,
    updates_per_s: f64,
    latency_ms: BTreeMap<Step, Percentiles>,
    well_behaved: Group,
    misbehaving: BTreeMap<Misdeed, Group>,
    /// The adapter that all ended on.
    adapter: Option<AdapterHash>,
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Percentiles {
    count: u64,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let milliseconds = |micros: u64| micros as f64 / 1e3;
        let quantile = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            max: milliseconds(histogram.max()),
        }
    }
}

impl Report {
    /// Lines for people.
    pub fn lines(&self) -> String {
        let counts = &self.counts;
        let mut text = format!(
            "{} clients: {} welcomed, {} finished, {} stopped, {} reconnections\n\
             {} rounds in {:.2} s: {} of {} reports count, {:.0} a second\n",
            self.clients,
            counts.welcomed,
            counts.finished,
            counts.stopped,
            counts.reconnects,
            self.rounds,
            self.seconds,
            counts.updates,
            counts.reports,
            self.updates_per_s,
        );
        text += &format!(
            "{:<30} {:>9} {:>10} {:>10} {:>10} {:>10}\n",
            "milliseconds", "count", "p50", "p90", "p99", "max"
        );
        for (step, name) in Step::ALL {
            if let Some(times) = self.latency_ms.get(&step) {
                let Percentiles {
                    count,
                    p50,
                    p90,
                    p99,
                    max,
                } = times;
                text += &format!(
                    "{name:<30} {count:>9} {p50:>10.1} {p90:>10.1} {p99:>10.1} {max:>10.1}\n"
                );
            }
        }
        let groups = self
            .misbehaving
            .iter()
            .map(|(misdeed, group)| (misdeed.name(), group));
        for (name, group) in [("well-behaved", &self.well_behaved)]
            .into_iter()
            .chain(groups)
        {
            let Group {
                clients,
                misdeeds,
                faults,
            } = group;
            let faults = match faults.is_empty() {
                true => "none".to_owned(),
                // Every map of fault codes is made to be JSON.
                false => serde_json::to_string(faults).unwrap_or_default(),
            };
            text += &format!("{name}: {clients} clients, {misdeeds} misdeeds, faults {faults}\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_times() {
        let mut measures = Measures::new(&[None]);
        for milliseconds in 1..=1000 {
            measures.took(Step::Acknowledge, Duration::from_millis(milliseconds));
        }
        let report = measures.report(1, 0);
        let times = report.latency_ms[&Step::Acknowledge];
        // Three digits are kept.
        let near = |got: f64, expected: f64| (got / expected - 1.0).abs() < 2e-3;
        assert_eq!(times.count, 1000);
        assert!(
            near(times.p50, 500.0) && near(times.p90, 900.0),
            "{times:?}"
        );
        assert!(
            near(times.p99, 990.0) && near(times.max, 1000.0),
            "{times:?}"
        );
        assert!(!report.latency_ms.contains_key(&Step::Connect));
    }

    #[test]
    fn faults_are_tallied_by_misdeed() {
        let mut measures = Measures::new(&[None, Some(Misdeed::Replay), Some(Misdeed::Replay)]);
        measures.misbehaved(Misdeed::Replay);
        measures.faulted(Some(Misdeed::Replay), FaultCode::DuplicateReport);
        measures.faulted(Some(Misdeed::Replay), FaultCode::DuplicateReport);
        measures.faulted(None, FaultCode::StaleRound);
        let report = serde_json::to_value(measures.report(3, 9)).unwrap();
        let replay = serde_json::json!({
            "clients": 2, "misdeeds": 1, "faults": { "duplicate_report": 2 },
        });
        assert_eq!(report["misbehaving"]["replay"], replay);
        assert_eq!(report["well_behaved"]["faults"]["stale_round"], 1);
        assert_eq!(report["seed"], 9);
    }

    #[test]
    fn different_last_adapters_are_an_error() {
        let mut measures = Measures::new(&[None, None]);
        measures.finished(AdapterHash([1; 32]));
        measures.finished(AdapterHash([1; 32]));
        assert_eq!(measures.verdict(), Ok(()));
        assert!(measures.report(2, 0).adapter.is_some());
        measures.finished(AdapterHash([2; 32]));
        assert!(
            measures
                .verdict()
                .unwrap_err()
                .contains("2 different adapters")
        );
        assert!(measures.report(2, 0).adapter.is_none());
    }
}
