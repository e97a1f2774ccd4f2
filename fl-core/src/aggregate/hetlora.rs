//! HetLoRA (Cho et al. 2024, arXiv 2401.06432): smaller ranks are padded with zeros to the
//! global one, and A and B are averaged with p_k = ‖B_k·A_k‖_F / Σ_j ‖B_j·A_j‖_F over all
//! modules; a client of a smaller rank cuts what it gets with [`truncated`](super::truncated).
//!
//! Example counts do not weigh; an update of weight 0 does not count. While every product is
//! zero, the counts weigh as in FedAvg. HetLoRA's pruning of ranks in training is not part of it.

use super::factors::{Pair, padded, product_norm};
use super::mean::WeightedMean;
use crate::adapter::{Adapter, AdapterLayout};

/// Two running sums: by the products' norms, and by counts for when those are all zero.
#[derive(Debug)]
pub(super) struct HetLora {
    layout: AdapterLayout,
    by_norm: WeightedMean,
    by_count: WeightedMean,
}

impl HetLora {
    pub(super) fn new(layout: AdapterLayout) -> Self {
        Self {
            by_norm: WeightedMean::new(layout.clone()),
            by_count: WeightedMean::new(layout.clone()),
            layout,
        }
    }

    pub(super) fn add(&mut self, pairs: &[Pair], update: &Adapter, weight: f64) {
        if weight > 0.0 {
            let update = padded(update, &self.layout);
            self.by_norm.add(&update, product_norm(pairs, &update));
            self.by_count.add(&update, weight);
        }
    }

    /// Both sums, to be told to another process.
    pub(super) fn sums(&self) -> [&WeightedMean; 2] {
        [&self.by_norm, &self.by_count]
    }

    /// Adds the sums of another process.
    pub(super) fn merge(&mut self, by_norm: &WeightedMean, by_count: &WeightedMean) {
        self.by_norm.merge(by_norm);
        self.by_count.merge(by_count);
    }

    pub(super) fn mean(&self) -> Option<Adapter> {
        self.by_norm.mean().or_else(|| self.by_count.mean())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::adapter::Adapter;
    use crate::aggregate::factors::padded;
    use crate::aggregate::testing::{aggregated, clients, lora, product};
    use crate::settings::Rule;

    fn norm(adapter: &Adapter) -> f64 {
        let squares = ["m.key", "m.query"].map(|module| {
            let product = product(adapter, module);
            product.iter().map(|value| value * value).sum::<f64>()
        });
        squares.iter().sum::<f64>().sqrt()
    }

    proptest! {
        #[test]
        fn norms_weigh_padded_factors(seed: u32, ranks in prop::collection::vec(1usize..=4, 1..5)) {
            let (sent, global) = (clients(seed, &ranks), lora(9, 4));
            let made = aggregated(Rule::HetLora, &global, 1, &sent).unwrap().adapter;
            let total: f64 = sent.iter().map(|(adapter, _)| norm(adapter)).sum();
            for (name, matrix) in &made.matrices {
                for (index, &value) in matrix.values.iter().enumerate() {
                    let expected: f64 = sent
                        .iter()
                        .map(|(adapter, _)| {
                            let padded = padded(adapter, &global.layout());
                            norm(adapter) / total * f64::from(padded.matrices[name].values[index])
                        })
                        .sum();
                    prop_assert!((f64::from(value) - expected).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn counts_weigh_while_every_product_is_zero() {
        let zero = |value: f32| {
            let mut adapter = lora(1, 2);
            for (name, matrix) in &mut adapter.matrices {
                let value = if name.ends_with("B.weight") {
                    0.0
                } else {
                    value
                };
                matrix.values.fill(value);
            }
            adapter
        };
        let sent = [(zero(0.0), 3.0), (zero(4.0), 1.0), (zero(9.0), 0.0)];
        let made = aggregated(Rule::HetLora, &lora(9, 2), 1, &sent).unwrap();
        assert_eq!(made.adapter, zero(1.0));
    }
}
