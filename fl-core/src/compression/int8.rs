//! Eight bits a value with a scale a row: value ≈ scale · i, with i from −127 to 127 and the scale
//! the row's largest size / 127.

use super::Packed;
use crate::adapter::{Adapter, AdapterError, AdapterLayout, Matrix};
use crate::codec::{Tensor, Type};

const MOST: f32 = 127.0;

fn scale_name(name: &str) -> String {
    format!("{name}.scale")
}

pub(super) fn packed(change: &Adapter) -> Packed {
    let mut packed = Packed::new();
    for (name, matrix) in &change.matrices {
        let mut whole = matrix.clone();
        let mut scales = Vec::with_capacity(matrix.rows);
        for row in whole.values.chunks_mut(matrix.columns.max(1)) {
            let scale = row.iter().fold(0f32, |most, value| most.max(value.abs())) / MOST;
            for value in row {
                // A row of zeros has no scale to divide by; a tiny one rounds to a scale of 0.
                *value = match scale > 0.0 {
                    true => (*value / scale).round().clamp(-MOST, MOST),
                    false => 0.0,
                };
            }
            scales.push(scale);
        }
        scales.resize(matrix.rows, 0.0);
        let scales = Matrix {
            rows: matrix.rows,
            columns: 1,
            values: scales,
        };
        let tensor = |kind, matrix| Tensor { kind, matrix };
        packed.insert(name.clone(), tensor(Type::I8, whole));
        packed.insert(scale_name(name), tensor(Type::F32, scales));
    }
    packed
}

pub(super) fn restored(body: &Adapter, layout: &AdapterLayout) -> Result<Adapter, AdapterError> {
    let mut expected = layout.clone();
    for (name, (rows, _)) in &layout.shapes {
        expected.shapes.insert(scale_name(name), (*rows, 1));
    }
    expected.check(body)?;
    let mut change = Adapter::default();
    for name in layout.shapes.keys() {
        // Both are there: the check above says so.
        let (Some(whole), Some(scales)) = (
            body.matrices.get(name),
            body.matrices.get(&scale_name(name)),
        ) else {
            continue;
        };
        let mut matrix = whole.clone();
        let rows = matrix.values.chunks_mut(matrix.columns.max(1));
        for (row, scale) in rows.zip(&scales.values) {
            row.iter_mut().for_each(|value| *value *= scale);
        }
        change.matrices.insert(name.clone(), matrix);
    }
    Ok(change)
}
