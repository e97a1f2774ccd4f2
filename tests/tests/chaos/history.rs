//! What a room's history has to be, whatever happened to its server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fl_core::adapter::AdapterHash;
use fl_core::protocol::{RoundOutcome, RoundRecord};

use super::stub::{Stub, Told};

/// The adapter that a round made.
pub fn hash(record: &RoundRecord) -> Option<AdapterHash> {
    match record.outcome {
        RoundOutcome::Completed { hash } => Some(hash),
        RoundOutcome::Abandoned { .. } => None,
    }
}

/// What was known goes on: everything up to the last completed round stays as it was. Tries that
/// were given up after it may be forgotten, since nothing came of them.
pub fn check_goes_on(known: &[RoundRecord], now: &[RoundRecord]) {
    let last = known.iter().rposition(|record| hash(record).is_some());
    let settled = &known[..last.map_or(0, |last| last + 1)];
    assert!(
        now.starts_with(settled),
        "the history lost or changed what it had: {:?} became {:?}",
        short(settled),
        short(now)
    );
}

/// The median duration of the last few rounds.
pub fn usual_duration(history: &[RoundRecord]) -> Duration {
    const FEW: usize = 5;
    let last = history.iter().rev().filter(|record| hash(record).is_some());
    let mut last: Vec<u32> = last.take(FEW).map(|record| record.duration_ms).collect();
    last.sort_unstable();
    let median = last.get(last.len() / 2).copied();
    Duration::from_millis(median.unwrap_or_default().into())
}

fn short(records: &[RoundRecord]) -> Vec<(u32, u32, Option<AdapterHash>)> {
    let short = |record: &RoundRecord| (record.round, record.attempt, hash(record));
    records.iter().map(short).collect()
}

/// Each round is completed once, in order; nobody is in one twice, everybody who was selected is
/// accounted for. Gives back the rounds completed and given up.
pub fn check(history: &[RoundRecord], rounds: u32) -> (u32, usize) {
    let mut completed = 0;
    let mut attempt = 0;
    for record in history {
        let place = (record.round, record.attempt);
        assert_eq!(record.round, completed + 1, "rounds follow each other");
        assert!(
            record.attempt > attempt,
            "attempts follow each other: {place:?}"
        );
        let mut clients: Vec<_> = record.participants.clone();
        let reported = clients.len();
        assert_eq!(reported, record.reported as usize, "{place:?}");
        clients.extend(record.excluded.iter().map(|exclusion| exclusion.client));
        let once: BTreeSet<_> = clients.iter().collect();
        assert_eq!(once.len(), clients.len(), "somebody is twice in {place:?}");
        assert_eq!(clients.len(), record.selected as usize, "{place:?}");
        attempt = record.attempt;
        if hash(record).is_some() {
            (completed, attempt) = (record.round, 0);
        }
    }
    assert_eq!(completed, rounds);
    (completed, history.len() - completed as usize)
}

/// The adapter that any client was told of for a round is the history's, and all began from one.
/// Gives back how many announcements there were.
pub fn check_announced(history: &[RoundRecord], stubs: &[&Stub]) -> usize {
    let made = history
        .iter()
        .filter_map(|record| Some((record.round, hash(record)?)));
    let mut made: BTreeMap<u32, AdapterHash> = made.collect();
    let mut announcements = 0;
    for stub in stubs {
        for told in stub.told() {
            let Told::Adapter { round, hash } = told else {
                continue;
            };
            announcements += 1;
            let first = match round {
                // Where the room began is not in its history.
                0 => made.entry(0).or_insert(hash),
                round => made.get_mut(&round).unwrap_or_else(|| {
                    panic!("{} was told of round {round}, which never was", stub.name)
                }),
            };
            assert_eq!(
                hash, *first,
                "{} was told another adapter of round {round}",
                stub.name
            );
        }
    }
    announcements
}
