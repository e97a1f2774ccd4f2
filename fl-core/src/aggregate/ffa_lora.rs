//! FFA-LoRA (Sun et al. 2024, arXiv 2403.12313): A stays as it began, B ← Σ p_k·B_k.
//!
//! With one A for all, Σ p_k·B_k·A = (Σ p_k·B_k)·A: the mean is exact, and half as much travels.
//! [`Rule::trained`](crate::settings::Rule::trained) is all there is to it: a sum over updates
//! whose A is the global one.

#[cfg(test)]
mod tests {
    use crate::aggregate::Trained;
    use crate::aggregate::testing::{aggregated, clients, distance, lora, mean_product, product};
    use crate::settings::Rule;

    #[test]
    fn mean_of_b_with_a_frozen_is_exact() {
        let global = lora(9, 2);
        let sent = clients(0, &[2, 2, 2]);
        let whole = |(adapter, weight): &(_, f64)| {
            let whole = Trained::OnlyB.whole(adapter, &global);
            (whole.into_owned(), *weight)
        };
        let whole: Vec<_> = sent.iter().map(whole).collect();
        let adapter = aggregated(Rule::FfaLora, &global, 4, &sent)
            .unwrap()
            .adapter;
        for module in ["m.key", "m.query"] {
            let a = format!("{module}.lora_A.weight");
            assert_eq!(adapter.matrices[&a], global.matrices[&a]);
            let expected = mean_product(&whole, module);
            assert!(distance(&product(&adapter, module), &expected) < 1e-6);
        }
    }

    #[test]
    fn b_alone_is_enough() {
        let global = lora(9, 2);
        let sent = clients(0, &[2, 2, 2]);
        let part = |(adapter, weight): &(_, f64)| {
            let part = Trained::OnlyB.part(adapter);
            assert_eq!(part.matrices.len(), 2);
            (part.into_owned(), *weight)
        };
        let parts: Vec<_> = sent.iter().map(part).collect();
        assert_eq!(
            aggregated(Rule::FfaLora, &global, 1, &parts).unwrap(),
            aggregated(Rule::FfaLora, &global, 1, &sent).unwrap()
        );
    }
}
