//! How far two results are apart, and the table of it.

use std::fmt::Write as _;

use fl_core::adapter::Adapter;

/// The most that the learner may differ from PyTorch: the largest difference within a tensor,
/// divided by the tensor's largest magnitude.
pub const TOLERANCE: f64 = 1e-4;

/// The error reached in one quantity of one model.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The model.
    pub model: &'static str,
    /// What was compared.
    pub quantity: String,
    /// The tensor with the largest error.
    pub worst: String,
    /// That error.
    pub error: f64,
}

/// max |got − expected| / max |expected|
///
/// # Panics
/// When the lengths differ, a number is not finite, or all that is expected is zero.
pub fn error(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len(), "other sizes");
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
    let pairs = got.iter().zip(expected);
    let apart = most(&mut pairs.map(|(a, b)| {
        assert!(a.is_finite() && b.is_finite(), "{a}, {b}");
        (f64::from(*a) - f64::from(*b)).abs()
    }));
    let size = most(&mut expected.iter().map(|b| f64::from(*b).abs()));
    assert!(size > 0.0, "nothing to compare: every number is zero");
    apart / size
}

/// The largest error of any tensor, each measured by itself, and the tensor's name.
pub(crate) fn largest_error(got: &Adapter, expected: &Adapter) -> (String, f64) {
    let names = |adapter: &Adapter| adapter.matrices.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(got), names(expected), "other tensors");
    let pairs = got.matrices.iter().zip(expected.matrices.values());
    let errors = pairs.map(|((name, got), expected)| {
        let shapes = [got, expected].map(|matrix| (matrix.rows, matrix.columns));
        assert_eq!(shapes[0], shapes[1], "{name}: other shape");
        (name.clone(), error(&got.values, &expected.values))
    });
    errors.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

/// A line for each quantity.
pub fn table(rows: &[Measured]) -> String {
    let mut text = format!("{:<16} {:<32} {:>9}  worst\n", "model", "quantity", "error");
    for row in rows {
        let Measured {
            model,
            quantity,
            worst,
            error,
        } = row;
        writeln!(text, "{model:<16} {quantity:<32} {error:>9.1e}  {worst}").unwrap();
    }
    text
}
