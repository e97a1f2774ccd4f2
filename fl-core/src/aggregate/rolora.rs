//! RoLoRA (Chen et al. 2025, arXiv 2502.01755): odd rounds average B with A fixed, even rounds A
//! with B fixed.
//!
//! One factor is the same for all in every round, so the mean is exact, half as much travels, and
//! A is learnt too. [`Rule::trained`](crate::settings::Rule::trained) is all there is to it.

#[cfg(test)]
mod tests {
    use crate::aggregate::Trained;
    use crate::aggregate::testing::{aggregated, clients, distance, lora, mean_product, product};
    use crate::settings::Rule;

    #[test]
    fn factors_take_turns_and_each_turn_is_exact() {
        let mut global = lora(9, 2);
        for (round, trained) in [
            (1, Trained::OnlyB),
            (2, Trained::OnlyA),
            (3, Trained::OnlyB),
        ] {
            let sent = clients(10 * round, &[2, 2, 2]);
            assert_eq!(Rule::RoLora.trained(round), trained);
            let whole = |(adapter, weight): &(_, f64)| {
                (trained.whole(adapter, &global).into_owned(), *weight)
            };
            let whole: Vec<_> = sent.iter().map(whole).collect();
            let next = aggregated(Rule::RoLora, &global, round, &sent).unwrap();
            for module in ["m.key", "m.query"] {
                let expected = mean_product(&whole, module);
                assert!(distance(&product(&next.adapter, module), &expected) < 1e-6);
            }
            for (name, matrix) in &next.adapter.matrices {
                assert_eq!(matrix == &global.matrices[name], !trained.includes(name));
            }
            global = next.adapter;
        }
    }
}
