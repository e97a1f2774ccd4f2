//! FedAvg as a running sum: Θ ← Σ n_k Θ_k / Σ n_k (McMahan et al. 2017).

use crate::adapter::{Adapter, AdapterLayout, Matrix};

/// A weighted sum of adapters that holds one copy, however many are added.
///
/// Sums are kept in f64, so the order of the clients changes the result by less than f32 shows.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedMean {
    layout: AdapterLayout,
    sums: Vec<Vec<f64>>,
    weight: f64,
}

impl WeightedMean {
    /// An empty sum over adapters of this layout.
    pub fn new(layout: AdapterLayout) -> Self {
        let sums = layout
            .shapes
            .values()
            .map(|(rows, columns)| vec![0.0; rows * columns])
            .collect();
        Self {
            layout,
            sums,
            weight: 0.0,
        }
    }

    /// Adds an adapter with its weight n_k.
    ///
    /// The adapter has passed [`AdapterLayout::check`]; one of another layout adds only what the
    /// two have in common.
    pub fn add(&mut self, adapter: &Adapter, weight: f64) {
        debug_assert!(self.layout.check(adapter).is_ok());
        for (sum, name) in self.sums.iter_mut().zip(self.layout.shapes.keys()) {
            let Some(matrix) = adapter.matrices.get(name) else {
                continue;
            };
            for (sum, &value) in sum.iter_mut().zip(&matrix.values) {
                *sum += weight * f64::from(value);
            }
        }
        self.weight += weight;
    }

    /// Adds another sum over adapters of the same layout.
    pub(super) fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.layout, other.layout);
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            for (sum, other) in sum.iter_mut().zip(other) {
                *sum += other;
            }
        }
        self.weight += other.weight;
    }

    /// What it is made of: the layout, a sum for each of its matrices, and the sum of weights.
    pub(super) fn parts(&self) -> (&AdapterLayout, &[Vec<f64>], f64) {
        (&self.layout, &self.sums, self.weight)
    }

    /// A sum of these parts, which fit together.
    pub(super) fn from_parts(layout: AdapterLayout, sums: Vec<Vec<f64>>, weight: f64) -> Self {
        Self {
            layout,
            sums,
            weight,
        }
    }

    /// The mean, or none when nothing of any weight was added.
    pub fn mean(&self) -> Option<Adapter> {
        if self.weight <= 0.0 {
            return None;
        }
        let matrix = |((name, &(rows, columns)), sum): ((&String, &(usize, usize)), &Vec<f64>)| {
            let values = sum.iter().map(|sum| (sum / self.weight) as f32).collect();
            (
                name.clone(),
                Matrix {
                    rows,
                    columns,
                    values,
                },
            )
        };
        Some(Adapter {
            matrices: self
                .layout
                .shapes
                .iter()
                .zip(&self.sums)
                .map(matrix)
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scalar(value: f32) -> Adapter {
        let matrix = Matrix {
            rows: 1,
            columns: 1,
            values: vec![value],
        };
        Adapter {
            matrices: [("w".to_owned(), matrix)].into(),
        }
    }

    fn mean(clients: &[(f32, u32)]) -> f32 {
        let mut sum = WeightedMean::new(scalar(0.0).layout());
        for &(value, count) in clients {
            sum.add(&scalar(value), count.into());
        }
        sum.mean().unwrap().matrices["w"].values[0]
    }

    #[test]
    fn equal_counts_give_the_plain_mean() {
        assert_eq!(mean(&[(3.0, 1), (6.0, 1), (9.0, 1)]), 6.0);
    }

    #[test]
    fn unequal_counts_weigh() {
        assert_eq!(mean(&[(3.0, 1), (6.0, 2), (9.0, 5)]), 7.5);
    }

    #[test]
    fn nothing_added_has_no_mean() {
        assert!(WeightedMean::new(scalar(0.0).layout()).mean().is_none());
    }

    proptest! {
        #[test]
        fn order_does_not_matter(
            clients in prop::collection::vec((-10f32..10.0, 1u32..1000), 1..20), swap: prop::sample::Index
        ) {
            let mut turned = clients.clone();
            turned.rotate_left(swap.index(clients.len()));
            prop_assert_eq!(mean(&clients), mean(&turned));
        }

        #[test]
        fn equal_adapters_are_their_mean(value: f32, counts in prop::collection::vec(1u32..1000, 1..20)) {
            prop_assume!(value.is_finite());
            let clients: Vec<_> = counts.into_iter().map(|count| (value, count)).collect();
            prop_assert_eq!(mean(&clients), value);
        }

        #[test]
        fn mean_lies_between_the_extremes(clients in prop::collection::vec((-1e3f32..1e3, 1u32..1000), 1..20)) {
            let mean = mean(&clients);
            let values = clients.iter().map(|client| client.0);
            prop_assert!(values.clone().fold(f32::MAX, f32::min) <= mean);
            prop_assert!(values.fold(f32::MIN, f32::max) >= mean);
        }
    }
}
