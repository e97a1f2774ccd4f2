//! One round's updates become the next global adapter, by the rule of the room's settings.
//!
//! Each rule is a file with its formula and source. [`Rule::holds`] says which ones hold a sum
//! and which every update; those are held in the order of the clients, so that a result does not
//! depend on the order in which they came.
//!
//! Every client multiplies B·A by the room's scale, whatever its own rank: a client of a smaller
//! rank r takes alpha·r/rank for its alpha (with standard scaling).

mod factors;
mod fedex_lora;
mod ffa_lora;
mod flexlora;
mod flora;
mod hetlora;
mod krum;
mod linear;
mod mean;
mod median;
mod norm_bound;
mod outcome;
mod partial;
mod product_error;
mod rolora;
mod server_optimizer;
mod staleness;
#[cfg(test)]
mod testing;
mod trained;
mod trimmed_mean;

use std::sync::Arc;

use crate::adapter::{Adapter, AdapterError, AdapterLayout};
use crate::protocol::{ClientId, Exclusion};
use crate::settings::{AggregationSettings, Holds, MeasureError, RoomSettings, Rule};

pub use self::factors::{LowRank, Residual, truncated};
pub use self::mean::WeightedMean;
pub use self::outcome::{AggregateError, Aggregated};
pub use self::partial::Partial;
pub use self::product_error::ProductError;
pub use self::server_optimizer::OptimizerState;
pub use self::trained::Trained;

pub(crate) use self::staleness::discounted;

use self::factors::{Pair, pairs};
use self::hetlora::HetLora;

/// One client's update, held until the round ends.
#[derive(Clone, Debug, PartialEq)]
struct Update {
    client: ClientId,
    adapter: Adapter,
    weight: f64,
}

/// Takes one round's updates as they come.
#[derive(Debug)]
pub struct Aggregator {
    settings: AggregationSettings,
    trained: Trained,
    scale: f64,
    fresh: (u32, u32),
    global: Arc<Adapter>,
    layout: AdapterLayout,
    pairs: Vec<Pair>,
    sum: Sum,
    held: Vec<Update>,
    bytes: u64,
}

#[derive(Debug)]
enum Sum {
    None,
    Mean(WeightedMean),
    HetLora(HetLora),
}

impl Aggregator {
    /// An aggregator without updates, for `round` (from 1) that starts at the adapter `global`.
    pub fn new(settings: &RoomSettings, global: Arc<Adapter>, round: u32) -> Self {
        let layout = global.layout();
        let rule = settings.aggregation.rule;
        let sum = match rule.holds() {
            Holds::All => Sum::None,
            Holds::Sum if rule == Rule::HetLora => Sum::HetLora(HetLora::new(layout.clone())),
            Holds::Sum => Sum::Mean(WeightedMean::new(layout.clone())),
        };
        Self {
            settings: settings.aggregation.clone(),
            trained: rule.trained(round),
            scale: settings.lora.scale().into(),
            fresh: (settings.seed, round),
            pairs: pairs(&layout),
            global,
            layout,
            sum,
            held: Vec::new(),
            bytes: 0,
        }
    }

    /// Which matrices this round trains; an update may leave the others out.
    pub fn trained(&self) -> Trained {
        self.trained
    }

    /// Checks names, shapes and values of an update, without adding it.
    ///
    /// # Errors
    /// The first difference from the layout; a smaller rank is none where the rule mixes ranks.
    pub fn check(&self, update: &Adapter) -> Result<(), AdapterError> {
        let update = self.trained.whole(update, &self.global);
        match self.settings.rule.mixes_ranks() {
            true => factors::check_mixed(&self.layout, &update),
            false => self.layout.check(&update),
        }
    }

    /// Adds a client's update with its weight n_k; one of weight 0 does not count.
    ///
    /// # Errors
    /// What [`Self::check`] finds; a weight that is none; or more updates than may be held.
    /// Nothing is added then.
    pub fn add(
        &mut self,
        client: ClientId,
        update: &Adapter,
        weight: f64,
    ) -> Result<(), AggregateError> {
        self.check(update)?;
        self.add_checked(client, update, weight)
    }

    /// [`Self::add`] of an update that has passed [`Self::check`] already.
    pub(crate) fn add_checked(
        &mut self,
        client: ClientId,
        update: &Adapter,
        weight: f64,
    ) -> Result<(), AggregateError> {
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(AggregateError::Weight(weight));
        }
        if weight == 0.0 {
            return Ok(());
        }
        let update = self.trained.whole(update, &self.global);
        let holds =
            matches!(self.sum, Sum::None) || self.settings.measure_error == MeasureError::EachRound;
        if holds {
            self.bytes = self.room_beside(self.bytes, &update)?;
            let place = self.held.partition_point(|held| held.client <= client);
            let held = Update {
                client,
                adapter: update.clone().into_owned(),
                weight,
            };
            self.held.insert(place, held);
        }
        match (&mut self.sum, self.settings.rule) {
            (Sum::None, _) => {}
            (Sum::HetLora(sum), _) => sum.add(&self.pairs, &update, weight),
            (Sum::Mean(sum), Rule::NormBound { norm }) => {
                let bounded = norm_bound::bounded(&update, &self.global, norm.into());
                sum.add(&bounded, weight);
            }
            (Sum::Mean(sum), _) => sum.add(&update, weight),
        }
        Ok(())
    }

    /// The bytes held with one more update.
    fn room_beside(&self, bytes: u64, update: &Adapter) -> Result<u64, AggregateError> {
        let values: usize = update.matrices.values().map(|m| m.values.len()).sum();
        let got = bytes + 4 * values as u64;
        let limit = u64::from(self.settings.memory_mib) << 20;
        if got <= limit {
            return Ok(got);
        }
        let rule = self.settings.rule.name();
        Err(AggregateError::Memory { rule, limit, got })
    }

    /// The next global adapter, with the server optimizer's state from the round before.
    ///
    /// # Errors
    /// [`AggregateError::Nothing`] and [`AggregateError::TooFew`].
    pub fn finish(&self, optimizer: &OptimizerState) -> Result<Aggregated, AggregateError> {
        let (adapter, residual, excluded) = self.by_rule()?;
        let error = (self.settings.measure_error == MeasureError::EachRound).then(|| {
            let residual = residual.as_ref();
            product_error::measure(&self.pairs, &self.held, &adapter, residual, self.scale)
        });
        let mut optimizer = optimizer.clone();
        let (server, trained) = (self.settings.server_optimizer, self.trained);
        Ok(Aggregated {
            adapter: optimizer.step(server, trained, &self.global, adapter),
            residual,
            excluded,
            error,
            optimizer,
        })
    }

    fn by_rule(&self) -> Result<(Adapter, Option<Residual>, Vec<Exclusion>), AggregateError> {
        let (layout, pairs, held) = (&self.layout, &self.pairs, &self.held);
        let corrected = |(adapter, residual)| (adapter, Some(residual));
        let plain = |adapter| (adapter, None);
        let rule = self.settings.rule;
        let made = match rule {
            Rule::Krum { attackers } | Rule::MultiKrum { attackers, .. } => {
                let (adapter, excluded) = krum::aggregate(layout, held, rule, attackers)?;
                return Ok((adapter, None, excluded));
            }
            Rule::FedExLora => {
                fedex_lora::aggregate(layout, pairs, self.scale, held).map(corrected)
            }
            Rule::Flora => {
                flora::aggregate(layout, pairs, self.scale, held, self.fresh).map(corrected)
            }
            Rule::FlexLora => flexlora::aggregate(layout, pairs, held).map(plain),
            Rule::Median => median::aggregate(layout, held).map(plain),
            Rule::TrimmedMean { share } => trimmed_mean::aggregate(layout, held, share).map(plain),
            Rule::FedAvg
            | Rule::FfaLora
            | Rule::RoLora
            | Rule::HetLora
            | Rule::NormBound { .. } => self.summed().map(plain),
        };
        let (adapter, residual) = made.ok_or(AggregateError::Nothing)?;
        Ok((adapter, residual, Vec::new()))
    }

    /// The mean of the sum; what was not trained is the global adapter's, bit for bit.
    fn summed(&self) -> Option<Adapter> {
        let mean = match &self.sum {
            Sum::None => None,
            Sum::Mean(sum) => sum.mean(),
            Sum::HetLora(sum) => sum.mean(),
        };
        mean.map(|mean| self.trained.whole(&mean, &self.global).into_owned())
    }
}

/// The adapters with their shares p_k = n_k / Σ n_j.
fn shares(updates: &[Update]) -> impl Iterator<Item = (&Adapter, f64)> {
    let total: f64 = updates.iter().map(|update| update.weight).sum();
    updates
        .iter()
        .map(move |update| (&update.adapter, update.weight / total))
}

/// The weighted mean of A and of B, each by itself; smaller ranks are padded with zeros.
fn mean(layout: &AdapterLayout, updates: &[Update]) -> Option<Adapter> {
    let mut sum = WeightedMean::new(layout.clone());
    for update in updates {
        sum.add(&factors::padded(&update.adapter, layout), update.weight);
    }
    sum.mean()
}

#[cfg(test)]
mod tests;
