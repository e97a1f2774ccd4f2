//! Coordinate-wise median (Yin et al. 2018, arXiv 1803.01498): each value is the median of the
//! clients' values, of an even number the mean of the two in the middle.
//!
//! Every client counts the same, because a count is what a client says of itself. Fewer than half
//! of the clients cannot move a value out of the range of the others.

use super::Update;
use super::trimmed_mean::by_coordinate;
use crate::adapter::{Adapter, AdapterLayout};

pub(super) fn aggregate(layout: &AdapterLayout, updates: &[Update]) -> Option<Adapter> {
    by_coordinate(layout, updates, |sorted| {
        let middle = sorted.len() / 2;
        match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::aggregate::testing::{aggregated, row, values};
    use crate::settings::Rule;

    fn median(clients: &[f32]) -> f32 {
        let sent: Vec<_> = clients.iter().map(|&value| (row(&[value]), 1.0)).collect();
        let made = aggregated(Rule::Median, &row(&[0.0]), 1, &sent).unwrap();
        values(&made.adapter)[0]
    }

    #[test]
    fn known_medians_are_found() {
        assert_eq!(median(&[5.0]), 5.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    proptest! {
        #[test]
        fn a_minority_cannot_move_it_out_of_the_others(
            honest in prop::collection::vec(-1f32..1.0, 3..8), bad in prop::collection::vec(-1e9f32..1e9, 2)
        ) {
            let all: Vec<f32> = honest.iter().chain(&bad).copied().collect();
            let found = median(&all);
            let least = honest.iter().copied().fold(f32::MAX, f32::min);
            let most = honest.iter().copied().fold(f32::MIN, f32::max);
            prop_assert!((least..=most).contains(&found));
        }
    }
}
