//! How far what a rule announces is from the mean of the clients' products, Σ p_k·B_k·A_k, where
//! p_k = n_k / Σ n_j over all updates.
//!
//! FedAvg's means miss it by Σ p_k·B_k·A_k − B̄·Ā (Sun et al. 2024, arXiv 2403.12313), FlexLoRA by
//! the singular values that it cuts, the robust rules on purpose; FFA-LoRA, RoLoRA, FedEx-LoRA and
//! FLoRA by rounding only. The server's optimizer comes after it and is not part of it.

use super::factors::{Pair, Residual, Stack};
use super::linear::Dense;
use super::{Update, shares};
use crate::adapter::Adapter;

/// A distance of products over all adapted modules, without LoRA's scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProductError {
    /// ‖Σ p_k·B_k·A_k − (B·A + residual/scale)‖_F
    pub absolute: f64,
    /// That by ‖Σ p_k·B_k·A_k‖_F; 0 when that is 0.
    pub relative: f64,
}

/// Measures from stacked factors, with one row of a product in memory at a time.
pub(super) fn measure(
    pairs: &[Pair],
    updates: &[Update],
    adapter: &Adapter,
    residual: Option<&Residual>,
    scale: f64,
) -> ProductError {
    let (mut missed, mut whole) = (0.0, 0.0);
    for pair in pairs {
        let mean = Stack::new(pair, shares(updates));
        whole += mean.norm_squared();
        let mut difference = Stack::new(pair, shares(updates).chain([(adapter, -1.0)]));
        if let Some(added) = residual.and_then(|residual| residual.modules.get(&pair.module)) {
            difference = difference.with(&(&added.b).into(), &(&added.a).into(), -1.0 / scale);
        }
        missed += difference.norm_squared();
    }
    let absolute = missed.sqrt();
    let relative = if whole > 0.0 {
        absolute / whole.sqrt()
    } else {
        0.0
    };
    ProductError { absolute, relative }
}

impl Stack {
    fn norm_squared(&self) -> f64 {
        self.b.product_norm(&self.a).powi(2)
    }

    /// The stack with one more product, w·b·a.
    fn with(self, b: &Dense, a: &Dense, weight: f64) -> Self {
        let mut turned = self.b.transposed();
        let more = b.transposed();
        turned
            .values
            .extend(more.values.iter().map(|value| value * weight));
        turned.rows += more.rows;
        let mut stacked = self.a;
        stacked.values.extend(&a.values);
        stacked.rows += a.rows;
        Self {
            b: turned.transposed(),
            a: stacked,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::aggregate::testing::{aggregated, clients, lora, mean_product, product};
    use crate::settings::Rule;

    /// ‖Σ p_k·B_k·A_k − B̄·Ā‖ and ‖Σ p_k·B_k·A_k‖ by the definition.
    fn definition(sent: &[(crate::adapter::Adapter, f64)]) -> (f64, f64) {
        let made = aggregated(Rule::FedAvg, &lora(9, 2), 1, sent).unwrap();
        let (mut missed, mut whole) = (0.0, 0.0);
        for module in ["m.key", "m.query"] {
            let mean = mean_product(sent, module);
            let kept = product(&made.adapter, module);
            missed += mean
                .iter()
                .zip(kept)
                .map(|(a, b)| (a - b).powi(2))
                .sum::<f64>();
            whole += mean.iter().map(|value| value.powi(2)).sum::<f64>();
        }
        (missed.sqrt(), whole.sqrt())
    }

    proptest! {
        #[test]
        fn means_miss_what_the_definition_says(seed: u32, count in 1usize..5) {
            let sent = clients(seed, &vec![2; count]);
            let made = aggregated(Rule::FedAvg, &lora(9, 2), 1, &sent).unwrap();
            let (missed, whole) = definition(&sent);
            let error = made.error.unwrap();
            prop_assert!((error.absolute - missed).abs() < 1e-6);
            prop_assert!((error.relative - missed / whole).abs() < 1e-6);
        }
    }

    #[test]
    fn exact_rules_miss_nothing() {
        let sent = clients(3, &[2, 2, 2]);
        let error = |rule| {
            let made = aggregated(rule, &lora(9, 2), 1, &sent).unwrap();
            made.error.unwrap().relative
        };
        for rule in [Rule::FfaLora, Rule::RoLora, Rule::FedExLora, Rule::Flora] {
            assert!(error(rule) < 1e-6, "{}", rule.name());
        }
        assert!(error(Rule::FedAvg) > 0.01);
        assert!(error(Rule::FlexLora) < error(Rule::FedAvg));
    }
}
