//! FlexLoRA (Bai et al. 2024, arXiv 2402.11505): the singular value decomposition of
//! Σ p_k·B_k·A_k, cut to the global rank; a client of a smaller rank cuts it further with
//! [`truncated`](super::truncated).
//!
//! The sum is b·a with b (out × R) and a (R × in) stacked, R = Σ r_k, so no out × in matrix is
//! made: with orthonormal rows Q of a, b·a = (b·a·Qᵀ)·Q, and turning the columns of the first
//! factor until they are orthogonal, and Q with them, gives (U·Σ)·Vᵀ.
//!
//! The singular values go into B, as B = U·Σ and A = Vᵀ: so A keeps rows of length one even
//! where a singular value is zero, as in an adapter that has just begun, and every rank can learn.

use super::factors::{Pair, Stack};
use super::linear::{Dense, orthogonalise, orthonormal_rows};
use super::{Update, mean, shares};
use crate::adapter::{Adapter, AdapterLayout, Matrix};

/// The best approximation of the mean product at the layout's rank; what is not LoRA's is
/// averaged.
pub(super) fn aggregate(
    layout: &AdapterLayout,
    pairs: &[Pair],
    updates: &[Update],
) -> Option<Adapter> {
    let mut adapter = mean(layout, updates)?;
    for pair in pairs {
        let rank = layout.shapes.get(&pair.a).map_or(0, |shape| shape.0);
        let (a, b) = decomposed(&Stack::new(pair, shares(updates)), rank);
        adapter.matrices.insert(pair.a.clone(), a);
        adapter.matrices.insert(pair.b.clone(), b);
    }
    Some(adapter)
}

/// A (rank × in) and B (out × rank) of the product's largest singular values, largest first.
fn decomposed(stack: &Stack, rank: usize) -> (Matrix, Matrix) {
    let mut right = orthonormal_rows(&stack.a);
    let coordinates = stack.a.times(&right.transposed());
    let mut left = stack.b.times(&coordinates).transposed();
    orthogonalise(&mut left, &mut right);
    let first = |rows: Dense| {
        let mut cut = Dense::zeros(rank, rows.columns);
        let kept = rows.values.len().min(cut.values.len());
        cut.values[..kept].copy_from_slice(&rows.values[..kept]);
        cut
    };
    (
        first(right).to_matrix(),
        first(left).transposed().to_matrix(),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::aggregate::testing::{aggregated, clients, distance, lora, mean_product, product};
    use crate::aggregate::truncated;
    use crate::settings::Rule;

    proptest! {
        #[test]
        fn enough_rank_is_exact(seed: u32, ranks in prop::sample::subsequence(vec![1, 1, 2], 1..=3)) {
            let sent = clients(seed, &ranks);
            let made = aggregated(Rule::FlexLora, &lora(9, 4), 1, &sent).unwrap();
            prop_assert!(made.residual.is_none());
            for module in ["m.key", "m.query"] {
                let expected = mean_product(&sent, module);
                prop_assert!(distance(&product(&made.adapter, module), &expected) < 1e-5);
            }
        }

        #[test]
        fn too_little_rank_misses_the_smallest_values(seed: u32) {
            // Eckart and Young: the distance at rank r is the length of the singular values
            // left out, which the exact decomposition of the same product shows.
            let sent = clients(seed, &[1, 1, 1]);
            let exact = aggregated(Rule::FlexLora, &lora(9, 3), 1, &sent).unwrap().adapter;
            let widened: Vec<_> = sent.iter().map(|(adapter, weight)| (adapter.clone(), *weight)).collect();
            let cut = aggregated(Rule::FlexLora, &lora(9, 2), 1, &widened).unwrap().adapter;
            for module in ["m.key", "m.query"] {
                let b = &exact.matrices[&format!("{module}.lora_B.weight")];
                let left_out: f64 = (0..b.rows).map(|row| f64::from(b.values[row * 3 + 2]).powi(2)).sum();
                let missed: f64 = mean_product(&sent, module)
                    .iter()
                    .zip(product(&cut, module))
                    .map(|(a, b)| (a - b).powi(2))
                    .sum();
                prop_assert!((missed.sqrt() - left_out.sqrt()).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn cut_for_a_client_is_the_cut_of_the_product() {
        let sent = clients(5, &[2, 2, 1]);
        let at = |rank| {
            aggregated(Rule::FlexLora, &lora(9, rank), 1, &sent)
                .unwrap()
                .adapter
        };
        assert_eq!(truncated(&at(4), 2), at(2));
    }

    #[test]
    fn no_rank_dies_when_products_are_zero() {
        let mut zero = lora(1, 2);
        let b = zero.matrices.get_mut("m.key.lora_B.weight").unwrap();
        b.values.fill(0.0);
        let made = aggregated(Rule::FlexLora, &lora(9, 2), 1, &[(zero, 1.0)]).unwrap();
        let a = &made.adapter.matrices["m.key.lora_A.weight"];
        for row in a.values.chunks(a.columns) {
            let square: f32 = row.iter().map(|value| value * value).sum();
            assert!((square - 1.0).abs() < 1e-5);
        }
    }
}
