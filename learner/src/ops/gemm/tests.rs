//! Products of random shapes and lies against their definition.

use proptest::prelude::*;

use super::*;

/// Entry by entry, in f64.
fn plain(left: View<'_>, right: View<'_>) -> Vec<f64> {
    let at = |view: View<'_>, row: usize, column: usize| {
        let place = match view.lie {
            Lie::ByRows(stride) => row * stride + column,
            Lie::ByColumns(stride) => row + column * stride,
        };
        f64::from(view.values[place])
    };
    let entries =
        (0..left.rows).flat_map(|row| (0..right.columns).map(move |column| (row, column)));
    let entry = |(row, column)| {
        let terms = (0..left.columns).map(|k| at(left, row, k) * at(right, k, column));
        terms.sum()
    };
    entries.map(entry).collect()
}

fn matrix(values: &[f32], rows: usize, columns: usize, extra: usize, turned: bool) -> View<'_> {
    match turned {
        false => View::strided(values, rows, columns, columns + extra),
        true => View::strided(values, columns, rows, rows + extra).transposed(),
    }
}

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

proptest! {
    #[test]
    fn products_of_any_shape_and_lie_equal_their_definition(
        (rows, inner, columns) in (1usize..40, 0usize..40, 1usize..50),
        (left_turned, right_turned) in any::<(bool, bool)>(),
        extra in 0usize..3,
        start in 0u8..3,
    ) {
        let room = |a: usize, b: usize| (a + extra) * (b + extra) + a + b;
        let (a, b) = (numbers(room(rows, inner), 1), numbers(room(inner, columns), 2));
        let left = matrix(&a, rows, inner, extra, left_turned);
        let right = matrix(&b, inner, columns, extra, right_turned);
        let bias = numbers(columns, 3);
        let stride = columns + extra;
        let before = numbers(rows * stride, 4);
        let mut got = before.clone();
        let out = Out { values: &mut got, stride };
        let kind = match start {
            0 => Start::Zero,
            1 => Start::Bias(&bias),
            _ => Start::Sum,
        };
        multiply(left, right, out, kind);
        let expected = plain(left, right);
        for (place, (&got, &before)) in got.iter().zip(&before).enumerate() {
            let (row, column) = (place / stride, place % stride);
            if column >= columns {
                prop_assert_eq!(got, before, "written beside the result");
                continue;
            }
            let begun = match start {
                0 => 0.0,
                1 => bias[column],
                _ => before,
            };
            let expected = expected[row * columns + column] + f64::from(begun);
            prop_assert!((f64::from(got) - expected).abs() < 1e-5, "{row}, {column}: {got} {expected}");
        }
    }
}

#[test]
fn an_inner_dimension_of_several_passes_adds_up() {
    let (rows, inner, columns) = (2 * GROUP + 1, 2 * DEPTH + 3, COLUMNS + 1);
    let (a, b) = (numbers(rows * inner, 1), numbers(inner * columns, 2));
    let (left, right) = (View::new(&a, rows, inner), View::new(&b, inner, columns));
    let bias = numbers(columns, 3);
    let mut got = vec![f32::NAN; rows * columns];
    let out = Out {
        values: &mut got,
        stride: columns,
    };
    multiply(left, right, out, Start::Bias(&bias));
    for (place, (got, expected)) in got.iter().zip(plain(left, right)).enumerate() {
        let expected = expected + f64::from(bias[place % columns]);
        assert!(
            (f64::from(*got) - expected).abs() < 1e-4,
            "{got} {expected}"
        );
    }
}
