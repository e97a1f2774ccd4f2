//! Whose the places of a room were: nobody's place is given to another.

use std::collections::{BTreeMap, BTreeSet};

use fl_core::protocol::{ClientId, RoundRecord};

use super::stub::{Stub, Told};

/// Every client in the history was one stub's, and no other's: else two clients would count as one.
/// Gives back how many places there were.
pub fn check(history: &[RoundRecord], stubs: &[&Stub]) -> usize {
    let mut owners: BTreeMap<ClientId, BTreeSet<(&str, u32)>> = BTreeMap::new();
    for stub in stubs {
        for told in stub.told() {
            if let Told::Place { number, client } = told {
                let owner = (stub.name.as_str(), number);
                owners.entry(client).or_default().insert(owner);
            }
        }
    }
    let counted = history.iter().flat_map(|record| &record.participants);
    for client in counted.collect::<BTreeSet<_>>() {
        // One that was killed before it could say its place has none.
        let of = owners.get(client);
        assert!(
            of.is_none_or(|of| of.len() == 1),
            "{client:?} was the place of {of:?}"
        );
    }
    owners.len()
}
