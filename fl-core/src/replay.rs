//! Rounds aggregated once more, from updates that were recorded: the same updates in the same order
//! make the same global adapter, to the last bit.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::adapter::{Adapter, AdapterHash};
use crate::aggregate::{AggregateError, Aggregator, OptimizerState, discounted};
use crate::protocol::{ClientId, Report};
use crate::settings::RoomSettings;

/// An update as its client sent it, of those that counted.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedUpdate {
    /// Who sent it.
    pub client: ClientId,
    /// What the client said of it.
    pub report: Report,
    /// Its matrices, compressed as in the room's settings.
    pub body: Adapter,
}

/// A room's global adapter, moved on by recorded updates.
#[derive(Clone, Debug)]
pub struct Replay {
    settings: RoomSettings,
    global: Arc<Adapter>,
    /// Adapters of the rounds before it that an update may have begun at, oldest first.
    earlier: VecDeque<(u32, AdapterHash, Arc<Adapter>)>,
    optimizer: OptimizerState,
}

/// Why a recorded round has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// An update that its room would not have taken.
    #[error("the update of client {}: {error}", client.0)]
    Update {
        /// Who sent it.
        client: ClientId,
        /// What is wrong with it.
        error: AggregateError,
    },
    /// The updates come to nothing.
    #[error(transparent)]
    Round(AggregateError),
}

impl Replay {
    /// A replay that goes on from a global adapter and what the server's optimizer kept then.
    pub fn new(settings: RoomSettings, global: Arc<Adapter>, optimizer: OptimizerState) -> Self {
        Self {
            settings,
            global,
            earlier: VecDeque::new(),
            optimizer,
        }
    }

    /// The global adapter's hash.
    pub fn hash(&self) -> AdapterHash {
        self.global.hash()
    }

    /// Aggregates a round's updates, in the order in which they came, and goes on from the result.
    ///
    /// # Errors
    /// [`ReplayError`] when the updates could not have been those of this round; the replay stays
    /// where it was.
    pub fn round<'a>(
        &mut self,
        round: u32,
        updates: impl IntoIterator<Item = &'a RecordedUpdate>,
    ) -> Result<AdapterHash, ReplayError> {
        let mut aggregator = Aggregator::new(&self.settings, Arc::clone(&self.global), round);
        for update in updates {
            self.add(&mut aggregator, round, update)
                .map_err(|error| ReplayError::Update {
                    client: update.client,
                    error,
                })?;
        }
        let made = aggregator
            .finish(&self.optimizer)
            .map_err(ReplayError::Round)?;
        let begun = (round, self.hash(), Arc::clone(&self.global));
        self.earlier.push_back(begun);
        let kept = self.settings.round.mode.max_staleness().unwrap_or(0) as usize;
        while self.earlier.len() > kept {
            self.earlier.pop_front();
        }
        self.global = Arc::new(made.adapter);
        self.optimizer = made.optimizer;
        Ok(self.hash())
    }

    fn add(
        &self,
        aggregator: &mut Aggregator,
        round: u32,
        update: &RecordedUpdate,
    ) -> Result<(), AggregateError> {
        let RecordedUpdate {
            client,
            report,
            body,
        } = update;
        let begun = |(round, hash, _): &&(u32, AdapterHash, Arc<Adapter>)| {
            (*round, *hash) == (report.round, report.base)
        };
        let own = self.earlier.iter().find(begun).map(|(.., own)| own);
        let own = own.unwrap_or(&self.global);
        let part = aggregator.trained().part(own);
        let restored = self.settings.compression.restored(body, &part)?;
        let staleness = round.saturating_sub(report.round);
        let adapter = discounted(&restored, own, &self.global, staleness);
        let weight = self.settings.weighting.weight(report);
        aggregator.add(*client, &adapter, weight)
    }
}
