//! FLoRA (Wang et al. 2024, arXiv 2409.05976): stacked factors A = [A_1; …; A_K] and
//! B = [p_1·B_1 … p_K·B_K] make ΔW = scale·B·A = scale·Σ p_k·B_k·A_k of rank Σ r_k, exactly and
//! for mixed ranks; ΔW goes into the frozen weights, and the adapter starts anew.

use rand::RngExt as _;

use super::factors::{A, B, Pair, Residual, Stack};
use super::{Update, mean, shares};
use crate::adapter::{Adapter, AdapterLayout, Matrix};
use crate::random::{Purpose, generator};

/// A new adapter, whose product is zero, and the stacked products.
///
/// Matrices that are not LoRA's are averaged.
pub(super) fn aggregate(
    layout: &AdapterLayout,
    pairs: &[Pair],
    scale: f64,
    updates: &[Update],
    fresh: (u32, u32),
) -> Option<(Adapter, Residual)> {
    let mut adapter = mean(layout, updates)?;
    start_anew(&mut adapter, fresh);
    let stacked = |pair: &Pair| {
        let stack = Stack::new(pair, shares(updates));
        (pair.module.clone(), stack.scaled(scale))
    };
    let modules = pairs.iter().map(stacked).collect();
    Some((adapter, Residual { modules }))
}

/// New values by PEFT's rule: A from U(−1/√in, 1/√in), B zero; (seed, round) choose them.
fn start_anew(adapter: &mut Adapter, (seed, round): (u32, u32)) {
    let mut rng = generator(seed, Purpose::Initialisation, round.into());
    for (name, matrix) in &mut adapter.matrices {
        if name.ends_with(B) {
            *matrix = Matrix::zeros(matrix.rows, matrix.columns);
        } else if name.ends_with(A) {
            let bound = 1.0 / (matrix.columns as f32).sqrt();
            for value in &mut matrix.values {
                *value = (rng.random::<f32>() * 2.0 - 1.0) * bound;
            }
        }
    }
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
        fn stacked_products_are_exact(seed: u32, ranks in prop::collection::vec(1usize..=4, 1..5)) {
            let sent = clients(seed, &ranks);
            let made = aggregated(Rule::Flora, &lora(9, 4), 1, &sent).unwrap();
            let residual = made.residual.unwrap();
            for module in ["m.key", "m.query"] {
                let low_rank = &residual.modules[module];
                prop_assert_eq!(low_rank.a.rows, ranks.iter().sum::<usize>());
                let expected: Vec<f64> = mean_product(&sent, module).iter().map(|v| SCALE * v).collect();
                prop_assert!(distance(&multiply(&low_rank.b, &low_rank.a), &expected) < 1e-5);
            }
        }
    }

    #[test]
    fn adapter_starts_anew_at_full_rank() {
        let sent = clients(0, &[1, 2, 4]);
        let global = lora(9, 4);
        let made = |round| {
            aggregated(Rule::Flora, &global, round, &sent)
                .unwrap()
                .adapter
        };
        let adapter = made(1);
        global.layout().check(&adapter).unwrap();
        assert!(product(&adapter, "m.key").iter().all(|value| *value == 0.0));
        assert!(
            adapter.matrices["m.key.lora_A.weight"]
                .values
                .iter()
                .all(|v| *v != 0.0)
        );
        assert_eq!(adapter, made(1));
        assert_ne!(adapter, made(2));
    }
}
