//! Whose the places of a room were: nobody counts in another's.

use std::collections::BTreeMap;

use fl_core::protocol::{ClientId, RoundRecord};

use super::stub::{Stub, Told};

/// A stub, and how many rounds were completed when it first got the place.
type Owners<'a> = BTreeMap<(&'a str, u32), u32>;

/// A place may be given again when the server was killed before it had stored whom it had given it to;
/// then only the last of its owners may have counted in it. Gives back how many places there were.
pub fn check(history: &[RoundRecord], stubs: &[&Stub]) -> usize {
    let mut places: BTreeMap<ClientId, Owners<'_>> = BTreeMap::new();
    for stub in stubs {
        for told in stub.told() {
            if let Told::Place {
                number,
                client,
                completed,
            } = told
            {
                let owners = places.entry(client).or_default();
                let first = owners.entry((&stub.name, number)).or_insert(completed);
                *first = completed.min(*first);
            }
        }
    }
    for record in history {
        for client in &record.participants {
            // One that was killed before it could say its place has none.
            let Some(owners) = places.get(client).filter(|owners| owners.len() > 1) else {
                continue;
            };
            let round = record.round;
            assert!(
                owners.values().all(|first| *first < round),
                "{client:?} counted in round {round} and was later given away: {owners:?}"
            );
        }
    }
    places.len()
}
