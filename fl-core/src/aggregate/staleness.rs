//! FedBuff's discount of late updates (Nguyen et al. 2022, arXiv 2106.06639, section 5): with the
//! change Δ = w − w_base that a client made of an adapter τ rounds old, the global adapter w_t takes
//! part in the mean as w_t + Δ/√(1+τ).

use std::borrow::Cow;

use crate::adapter::Adapter;

/// The update of a client that began at `base`, `staleness` rounds before `global`, as if it had
/// begun at `global`. Nothing is checked: matrices that the others do not have stay as they are.
pub(crate) fn discounted<'a>(
    update: &'a Adapter,
    base: &Adapter,
    global: &Adapter,
    staleness: u32,
) -> Cow<'a, Adapter> {
    if staleness == 0 {
        return Cow::Borrowed(update);
    }
    let discount = 1.0 / (1.0 + f64::from(staleness)).sqrt();
    let mut moved = update.clone();
    for (name, matrix) in &mut moved.matrices {
        let (Some(base), Some(global)) = (base.matrices.get(name), global.matrices.get(name))
        else {
            continue;
        };
        let known = base.values.iter().zip(&global.values);
        for (value, (&base, &global)) in matrix.values.iter_mut().zip(known) {
            let change = f64::from(*value) - f64::from(base);
            *value = (f64::from(global) + discount * change) as f32;
        }
    }
    Cow::Owned(moved)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::testing::{row, values};

    #[test]
    fn change_of_three_rounds_ago_counts_half() {
        let (base, update, global) = (row(&[1.0, 2.0]), row(&[3.0, 1.0]), row(&[10.0, 20.0]));
        let moved = discounted(&update, &base, &global, 3);
        assert_eq!(values(&moved), [11.0, 19.5]);
    }

    proptest! {
        #[test]
        fn fresh_updates_stay_as_they_are(values in prop::collection::vec(-1e3f32..1e3, 1..9)) {
            let (update, other) = (row(&values), row(&vec![0.5; values.len()]));
            prop_assert_eq!(&*discounted(&update, &other, &other, 0), &update);
        }

        #[test]
        fn later_ones_move_less_and_the_same_way(
            change in -100f32..100.0, base in -10f32..10.0, global in -10f32..10.0, staleness in 0u32..50
        ) {
            let by = |staleness| {
                let update = row(&[base + change]);
                let moved = discounted(&update, &row(&[base]), &row(&[base]), staleness);
                values(&moved)[0] - base
            };
            let (now, later) = (by(staleness), by(staleness + 1));
            prop_assert!(later.abs() <= now.abs() + 1e-5);
            prop_assert!(now * later >= 0.0);
            // Who changed nothing changes nothing.
            let idle = discounted(&row(&[base]), &row(&[base]), &row(&[global]), staleness.max(1)).into_owned();
            prop_assert_eq!(values(&idle)[0], global);
        }
    }
}
