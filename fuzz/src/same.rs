//! Whether two adapters are the same bit by bit: values that are no numbers equal nothing.

use fl_core::adapter::Adapter;

/// Panics where they differ.
pub fn assert_same(one: &Adapter, other: &Adapter) {
    assert_eq!(one.layout(), other.layout());
    for (name, matrix) in &one.matrices {
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let other = &other.matrices[name];
        assert_eq!(bits(&matrix.values), bits(&other.values), "{name}");
    }
}

/// Panics where a matrix has not as many values as its shape says.
pub fn assert_filled(adapter: &Adapter) {
    for (name, matrix) in &adapter.matrices {
        let values = matrix.rows.checked_mul(matrix.columns);
        assert_eq!(values, Some(matrix.values.len()), "{name}");
    }
}
