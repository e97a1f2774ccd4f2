//! FedEx-LoRA (Singhal et al. 2024, arXiv 2410.09432): the means of A and B, and what their
//! product misses goes into the frozen weights: W ← W + scale·(Σ p_k·B_k·A_k − B̄·Ā).

use super::factors::{Pair, Residual, Stack};
use super::{Update, mean, shares};
use crate::adapter::{Adapter, AdapterLayout};

/// The mean and the residual, whose products have rank (K + 1)·r for K updates.
pub(super) fn aggregate(
    layout: &AdapterLayout,
    pairs: &[Pair],
    scale: f64,
    updates: &[Update],
) -> Option<(Adapter, Residual)> {
    let mean = mean(layout, updates)?;
    let missed = |pair: &Pair| {
        let clients = shares(updates).chain([(&mean, -1.0)]);
        (pair.module.clone(), Stack::new(pair, clients).scaled(scale))
    };
    let modules = pairs.iter().map(missed).collect();
    Some((mean, Residual { modules }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::aggregate::testing::{
        SCALE, aggregated, clients, distance, lora, mean_product, multiply, product,
    };
    use crate::settings::Rule;

    proptest! {
        #[test]
        fn adapter_and_residual_are_exact(seed: u32, count in 1usize..5) {
            let sent = clients(seed, &vec![2; count]);
            let made = aggregated(Rule::FedExLora, &lora(9, 2), 1, &sent).unwrap();
            let naive = aggregated(Rule::FedAvg, &lora(9, 2), 1, &sent).unwrap();
            prop_assert_eq!(&made.adapter, &naive.adapter);
            let residual = made.residual.unwrap();
            for module in ["m.key", "m.query"] {
                let low_rank = &residual.modules[module];
                let missed = multiply(&low_rank.b, &low_rank.a);
                let sum: Vec<f64> = product(&made.adapter, module)
                    .iter()
                    .zip(missed)
                    .map(|(kept, missed)| SCALE * kept + missed)
                    .collect();
                let expected: Vec<f64> = mean_product(&sent, module).iter().map(|v| SCALE * v).collect();
                prop_assert!(distance(&sum, &expected) < 1e-5);
            }
        }
    }

    #[test]
    fn equal_updates_miss_nothing() {
        let sent = vec![(lora(1, 2), 2.0), (lora(1, 2), 5.0)];
        let made = aggregated(Rule::FedExLora, &lora(9, 2), 1, &sent).unwrap();
        let residual = made.residual.unwrap();
        let values = residual.modules["m.key"].dense().values;
        assert!(values.iter().all(|value| value.abs() < 1e-6), "{values:?}");
    }
}
