//! The k values of the largest size, by their positions in the change as one list: matrices in the
//! order of their names, each row by row.

use super::Packed;
use crate::adapter::{Adapter, AdapterError, AdapterLayout, Matrix};
use crate::codec::{Tensor, Type};

const INDICES: &str = "indices";
const VALUES: &str = "values";

/// k for a share of this many values: rounded up, at least one where there is any.
pub(super) fn count(share: f32, values: usize) -> usize {
    // A share typed as 0.1 is a little more in binary: of ten values it must be one.
    let wanted = (f64::from(share) * values as f64 - 1e-4).ceil() as usize;
    wanted.clamp(values.min(1), values)
}

/// The values sent, and the change without them; of values of one size the first go.
pub(super) fn packed(share: f32, mut change: Adapter) -> (Packed, Adapter) {
    let list: Vec<f32> = change
        .matrices
        .values()
        .flat_map(|matrix| matrix.values.iter().copied())
        .collect();
    let count = count(share, list.len());
    let mut order: Vec<usize> = (0..list.len()).collect();
    if count < list.len() {
        let larger = |&a: &usize, &b: &usize| {
            let sizes = list[b].abs().total_cmp(&list[a].abs());
            sizes.then(a.cmp(&b))
        };
        order.select_nth_unstable_by(count, larger);
        order.truncate(count);
        order.sort_unstable();
    }
    let row = |values: Vec<f32>| Matrix {
        rows: 1,
        columns: values.len(),
        values,
    };
    let indices = Tensor {
        kind: Type::U32,
        matrix: row(order.iter().map(|&index| index as f32).collect()),
    };
    let values = Tensor {
        kind: Type::F32,
        matrix: row(order.iter().map(|&index| list[index]).collect()),
    };
    let mut left = order.into_iter().peekable();
    let own = change.matrices.values_mut().flat_map(|m| &mut m.values);
    for (index, value) in own.enumerate() {
        if left.next_if_eq(&index).is_some() {
            *value = 0.0;
        }
    }
    let packed = [(INDICES.to_owned(), indices), (VALUES.to_owned(), values)];
    (packed.into(), change)
}

pub(super) fn restored(body: &Adapter, layout: &AdapterLayout) -> Result<Adapter, AdapterError> {
    let sent = body.matrices.get(VALUES).map_or(0, |m| m.values.len());
    let row = |name: &str| (name.to_owned(), (1, sent));
    let expected = AdapterLayout {
        shapes: [row(INDICES), row(VALUES)].into(),
    };
    expected.check(body)?;
    let (Some(indices), Some(values)) = (body.matrices.get(INDICES), body.matrices.get(VALUES))
    else {
        return Ok(Adapter::default());
    };
    check_order(&indices.values, layout.parameters())?;
    let mut sent = indices
        .values
        .iter()
        .map(|&index| index as usize)
        .zip(&values.values)
        .peekable();
    let mut start = 0;
    let mut matrix = |(name, &(rows, columns)): (&String, &(usize, usize))| {
        let mut matrix = Matrix::zeros(rows, columns);
        let end = start + matrix.values.len();
        while let Some((index, value)) = sent.next_if(|(index, _)| *index < end) {
            matrix.values[index - start] = *value;
        }
        start = end;
        (name.clone(), matrix)
    };
    Ok(Adapter {
        matrices: layout.shapes.iter().map(&mut matrix).collect(),
    })
}

/// Positions ascend and lie within the values, so that none is written twice or outside.
fn check_order(indices: &[f32], values: usize) -> Result<(), AdapterError> {
    let mut least = 0;
    for (position, &index) in indices.iter().enumerate() {
        let found = index as usize;
        if index < 0.0 || index.fract() != 0.0 || found < least || found >= values {
            return Err(AdapterError::Index {
                position,
                expected: (least, values),
                got: index.to_string(),
            });
        }
        least = found + 1;
    }
    Ok(())
}
