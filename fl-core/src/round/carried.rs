//! Clients of an asynchronous room that work on while rounds end (FedBuff, see
//! [`RoundMode`](crate::settings::RoundMode)).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Round, Standing};
use crate::adapter::{Adapter, AdapterHash};
use crate::aggregate::discounted;
use crate::protocol::{ClientId, Report};

/// The order that a client took in an earlier round, or an earlier attempt at this one.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) round: u32,
    pub(crate) attempt: u32,
    pub(crate) base: AdapterHash,
    pub(crate) global: Arc<Adapter>,
}

/// Clients at work, and where they began.
pub(crate) type Carried = BTreeMap<ClientId, Origin>;

impl Round {
    /// Takes over the clients that are at work.
    pub(crate) fn carry(&mut self, carried: Carried) {
        for (id, origin) in carried {
            self.clients.insert(id, Standing::Working);
            self.outstanding += 1;
            self.origins.insert(id, origin);
        }
    }

    /// Selects one more client while the round runs.
    pub(crate) fn enlist(&mut self, id: ClientId) {
        if self.clients.insert(id, Standing::Working).is_none() {
            self.outstanding += 1;
        }
    }

    /// A client that came back begins anew: what it worked on is gone with its old connection,
    /// unless it began at this round's adapter.
    pub(crate) fn begin_anew(&mut self, id: ClientId) {
        if self
            .origins
            .get(&id)
            .is_some_and(|own| own.base != self.base)
        {
            self.origins.remove(&id);
        }
    }

    /// Clients at work.
    pub(crate) fn at_work(&self) -> u32 {
        self.outstanding
    }

    /// Ends the round for those that work on: they go over into the next one, unless they would
    /// fall too far behind. Gives back those that do, with the round in which they began.
    pub(crate) fn hand_over(&mut self, max_staleness: u32, completes: bool) -> (Carried, Carried) {
        let working: Vec<ClientId> = self.working().copied().collect();
        let next = self.number + u32::from(completes);
        let origins = working.into_iter().map(|id| (id, self.origin(id)));
        let (kept, late): (Carried, Carried) =
            origins.partition(|(_, origin)| next - origin.round <= max_staleness);
        for id in late.keys() {
            let reason = format!("its update would be more than {max_staleness} rounds old");
            self.exclude(*id, &reason);
        }
        for id in kept.keys() {
            self.clients.remove(id);
            self.origins.remove(id);
        }
        (kept, late)
    }

    /// Whether a report answers the order that a client works on.
    pub(crate) fn is_ordered(&self, id: ClientId, report: &Report) -> bool {
        let order = self.order(id, self.started);
        self.standing(id) == Some(&Standing::Working)
            && (order.round, order.attempt) == (report.round, report.attempt)
    }

    /// The round in which a client's work began.
    pub(crate) fn begun_in(&self, id: ClientId) -> u32 {
        self.origins.get(&id).map_or(self.number, |own| own.round)
    }

    /// Where a client's work began.
    pub(crate) fn origin(&self, id: ClientId) -> Origin {
        self.origins.get(&id).cloned().unwrap_or_else(|| Origin {
            round: self.number,
            attempt: self.attempt,
            base: self.base,
            global: Arc::clone(&self.global),
        })
    }

    /// An update of a client, as if the client had begun at this round's adapter.
    pub(crate) fn current<'a>(&self, id: ClientId, update: &'a Adapter) -> Cow<'a, Adapter> {
        match self.origins.get(&id) {
            Some(own) => {
                let staleness = self.number.saturating_sub(own.round);
                discounted(update, &own.global, &self.global, staleness)
            }
            None => Cow::Borrowed(update),
        }
    }
}
