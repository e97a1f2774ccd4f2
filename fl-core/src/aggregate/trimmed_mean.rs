//! Coordinate-wise trimmed mean (Yin et al. 2018, arXiv 1803.01498): of each value, the ⌊β·n⌋
//! smallest and largest are left out and the rest is averaged, every client counting the same.
//!
//! With β = 0 it is FedAvg with equal counts. At most ⌊β·n⌋ clients cannot move a value out of the
//! range of the others.

use super::Update;
use crate::adapter::{Adapter, AdapterLayout, Matrix};

pub(super) fn aggregate(layout: &AdapterLayout, updates: &[Update], share: f32) -> Option<Adapter> {
    // A share typed as 0.1 is a little more or less in binary: ten clients must lose one.
    let trimmed = (f64::from(share) * updates.len() as f64 + 1e-6).floor() as usize;
    by_coordinate(layout, updates, |sorted| {
        let kept = &sorted[trimmed..sorted.len() - trimmed];
        let sum: f64 = kept.iter().map(|&value| f64::from(value)).sum();
        (sum / kept.len() as f64) as f32
    })
}

/// Each value by itself: `pick` gets the clients' values in ascending order.
pub(super) fn by_coordinate(
    layout: &AdapterLayout,
    updates: &[Update],
    pick: impl Fn(&[f32]) -> f32,
) -> Option<Adapter> {
    if updates.is_empty() {
        return None;
    }
    let mut sorted = Vec::with_capacity(updates.len());
    let mut matrix = |(name, &(rows, columns)): (&String, &(usize, usize))| {
        let matrices = updates.iter().filter_map(|u| u.adapter.matrices.get(name));
        let matrices: Vec<&Matrix> = matrices.collect();
        let mut made = Matrix::zeros(rows, columns);
        for (index, value) in made.values.iter_mut().enumerate() {
            sorted.clear();
            sorted.extend(
                matrices
                    .iter()
                    .filter_map(|matrix| matrix.values.get(index)),
            );
            sorted.sort_unstable_by(f32::total_cmp);
            *value = pick(&sorted);
        }
        (name.clone(), made)
    };
    Some(Adapter {
        matrices: layout.shapes.iter().map(&mut matrix).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::aggregate::testing::{aggregated, row, values};
    use crate::settings::Rule;

    fn trimmed(clients: &[f32], share: f32) -> f32 {
        let sent: Vec<_> = clients.iter().map(|&value| (row(&[value]), 1.0)).collect();
        let rule = Rule::TrimmedMean { share };
        let made = aggregated(rule, &row(&[0.0]), 1, &sent).unwrap();
        values(&made.adapter)[0]
    }

    #[test]
    fn known_means_are_found() {
        let ten: Vec<f32> = (0..10)
            .map(|i| if i == 9 { 1e6 } else { i as f32 })
            .collect();
        assert_eq!(trimmed(&ten, 0.1), 4.5);
        assert_eq!(trimmed(&ten, 0.2), 4.5);
        assert_eq!(trimmed(&[1.0, 2.0, 6.0], 0.0), 3.0);
        assert_eq!(trimmed(&[1.0, 2.0, 6.0], 0.3), 3.0, "nobody is a third");
        assert_eq!(trimmed(&[1.0, 2.0, 6.0], 0.34), 2.0);
    }

    proptest! {
        #[test]
        fn the_stated_share_cannot_move_it_out_of_the_others(
            honest in prop::collection::vec(-1f32..1.0, 8), bad in prop::collection::vec(-1e9f32..1e9, 2)
        ) {
            let all: Vec<f32> = honest.iter().chain(&bad).copied().collect();
            let found = trimmed(&all, 0.2);
            let least = honest.iter().copied().fold(f32::MAX, f32::min);
            let most = honest.iter().copied().fold(f32::MIN, f32::max);
            prop_assert!(least - 1e-6 <= found && found <= most + 1e-6);
        }
    }
}
