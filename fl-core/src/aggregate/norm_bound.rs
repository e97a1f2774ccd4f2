//! Norm bound (Sun et al. 2019, arXiv 1911.07963): each update's difference from the global
//! adapter, Δ, becomes Δ·min(1, C/‖Δ‖) before the weighted mean, so that no client moves it
//! further than its weight times C.

use std::borrow::Cow;

use super::krum::squared_distance;
use crate::adapter::Adapter;

/// The update, drawn towards the global adapter until it is no further away than `most`.
pub(super) fn bounded<'a>(update: &'a Adapter, global: &Adapter, most: f64) -> Cow<'a, Adapter> {
    let norm = squared_distance(update, global).sqrt();
    if norm <= most {
        return Cow::Borrowed(update);
    }
    let factor = most / norm;
    let mut bounded = update.clone();
    let matrices = bounded.matrices.values_mut().zip(global.matrices.values());
    for (value, &base) in matrices.flat_map(|(own, base)| own.values.iter_mut().zip(&base.values)) {
        let base = f64::from(base);
        *value = (base + factor * (f64::from(*value) - base)) as f32;
    }
    Cow::Owned(bounded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::aggregate::testing::{aggregated, row, values};
    use crate::settings::Rule;

    #[test]
    fn only_what_is_too_far_is_drawn_in() {
        let global = row(&[1.0, 1.0]);
        let near = (row(&[1.3, 1.4]), 1.0);
        let far = (row(&[31.0, 41.0]), 3.0);
        let rule = Rule::NormBound { norm: 5.0 };
        let one = |client| aggregated(rule, &global, 1, &[client]).unwrap().adapter;
        assert_eq!(values(&one(near.clone())), [1.3, 1.4]);
        assert_eq!(values(&one(far.clone())), [4.0, 5.0], "3-4-5 of 30-40-50");
        let both = aggregated(rule, &global, 1, &[near, far]).unwrap().adapter;
        let expected = [(1.3 + 3.0 * 4.0) / 4.0, (1.4 + 3.0 * 5.0) / 4.0];
        let found = values(&both);
        assert!((found[0] - expected[0]).abs() < 1e-6 && (found[1] - expected[1]).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn mean_is_never_further_than_the_bound(
            clients in prop::collection::vec(([-1e3f32..1e3, -1e3f32..1e3], 1u32..100), 1..8), norm in 0.1f32..10.0
        ) {
            let sent: Vec<_> = clients.iter().map(|(values, count)| (row(values), f64::from(*count))).collect();
            let made = aggregated(Rule::NormBound { norm }, &row(&[0.0; 2]), 1, &sent).unwrap();
            let length: f32 = values(&made.adapter).iter().map(|value| value * value).sum::<f32>().sqrt();
            prop_assert!(length <= norm * 1.000_01);
        }
    }
}
