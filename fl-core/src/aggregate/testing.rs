//! What the rules' tests share: small adapters, and definitions computed naively.

use std::sync::Arc;

use rand::RngExt as _;

use super::{AggregateError, Aggregated, Aggregator, OptimizerState};
use crate::adapter::{Adapter, Matrix};
use crate::protocol::ClientId;
use crate::random::{Purpose, generator};
use crate::settings::{AggregationSettings, MeasureError, RoomSettings, Rule};

/// Output and input widths of the modules, by path.
pub(crate) const MODULES: [(&str, usize, usize); 2] = [("m.key", 5, 3), ("m.query", 4, 6)];

/// A random adapter of two modules with pairs of this rank.
pub(crate) fn lora(seed: u32, rank: usize) -> Adapter {
    let mut rng = generator(seed, Purpose::Initialisation, 0);
    let mut adapter = Adapter::default();
    for (module, output, input) in MODULES {
        for (kind, rows, columns) in [("A", rank, input), ("B", output, rank)] {
            let values = (0..rows * columns).map(|_| rng.random::<f32>() * 2.0 - 1.0);
            let matrix = Matrix {
                rows,
                columns,
                values: values.collect(),
            };
            adapter
                .matrices
                .insert(format!("{module}.lora_{kind}.weight"), matrix);
        }
    }
    adapter
}

/// An adapter of one matrix with one row.
pub(crate) fn row(values: &[f32]) -> Adapter {
    let matrix = Matrix {
        rows: 1,
        columns: values.len(),
        values: values.to_vec(),
    };
    Adapter {
        matrices: [("w".to_owned(), matrix)].into(),
    }
}

/// The values of [`row`].
pub(crate) fn values(adapter: &Adapter) -> &[f32] {
    &adapter.matrices["w"].values
}

/// B · A of one module, by the definition.
pub(crate) fn product(adapter: &Adapter, module: &str) -> Vec<f64> {
    let a = &adapter.matrices[&format!("{module}.lora_A.weight")];
    let b = &adapter.matrices[&format!("{module}.lora_B.weight")];
    multiply(b, a)
}

/// b · a, by the definition.
pub(crate) fn multiply(b: &Matrix, a: &Matrix) -> Vec<f64> {
    let mut product = vec![0.0; b.rows * a.columns];
    for row in 0..b.rows {
        for column in 0..a.columns {
            for inner in 0..b.columns {
                product[row * a.columns + column] += f64::from(b.values[row * b.columns + inner])
                    * f64::from(a.values[inner * a.columns + column]);
            }
        }
    }
    product
}

/// Σ p_k·B_k·A_k of one module, by the definition.
pub(crate) fn mean_product(clients: &[(Adapter, f64)], module: &str) -> Vec<f64> {
    let total: f64 = clients.iter().map(|(_, weight)| weight).sum();
    let mut mean = Vec::new();
    for (adapter, weight) in clients {
        let one = product(adapter, module);
        mean.resize(one.len(), 0.0);
        for (sum, value) in mean.iter_mut().zip(one) {
            *sum += weight / total * value;
        }
    }
    mean
}

/// The largest difference between two lists of one length.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f64::max)
}

/// Clients with different adapters of these ranks and different weights.
pub(crate) fn clients(seed: u32, ranks: &[usize]) -> Vec<(Adapter, f64)> {
    let client = |(index, &rank): (usize, &usize)| {
        let weight = [3.0, 1.0, 7.0, 2.0, 12.0][index % 5];
        (lora(seed.wrapping_add(index as u32), rank), weight)
    };
    ranks.iter().enumerate().map(client).collect()
}

/// LoRA's scale of the default settings.
pub(crate) const SCALE: f64 = 2.0;

/// Settings with this rule, which measure the error.
pub(crate) fn settings(rule: Rule) -> RoomSettings {
    RoomSettings {
        aggregation: AggregationSettings {
            rule,
            measure_error: MeasureError::EachRound,
            ..AggregationSettings::default()
        },
        ..RoomSettings::default()
    }
}

/// One round by this rule, of clients 1, 2 … with their weights.
pub(crate) fn aggregated(
    rule: Rule,
    global: &Adapter,
    round: u32,
    clients: &[(Adapter, f64)],
) -> Result<Aggregated, AggregateError> {
    let mut aggregator = Aggregator::new(&settings(rule), Arc::new(global.clone()), round);
    for (index, (adapter, weight)) in clients.iter().enumerate() {
        aggregator.add(ClientId(index as u32 + 1), adapter, *weight)?;
    }
    aggregator.finish(&OptimizerState::default())
}
