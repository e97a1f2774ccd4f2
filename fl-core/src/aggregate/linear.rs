//! The little linear algebra that products of small factors need, in f64.

use crate::adapter::Matrix;

/// A row-major matrix.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dense {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) values: Vec<f64>,
}

impl From<&Matrix> for Dense {
    fn from(matrix: &Matrix) -> Self {
        Self {
            rows: matrix.rows,
            columns: matrix.columns,
            values: matrix.values.iter().map(|&value| value.into()).collect(),
        }
    }
}

impl Dense {
    pub(super) fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            values: vec![0.0; rows * columns],
        }
    }

    pub(super) fn to_matrix(&self) -> Matrix {
        Matrix {
            rows: self.rows,
            columns: self.columns,
            values: self.values.iter().map(|&value| value as f32).collect(),
        }
    }

    pub(super) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..][..self.columns]
    }

    fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.columns..][..self.columns]
    }

    pub(super) fn transposed(&self) -> Self {
        let mut turned = Self::zeros(self.columns, self.rows);
        for row in 0..self.rows {
            for (column, &value) in self.row(row).iter().enumerate() {
                turned.values[column * self.rows + row] = value;
            }
        }
        turned
    }

    /// (m × k) · (k × n) -> (m × n)
    pub(super) fn times(&self, other: &Self) -> Self {
        let mut product = Self::zeros(self.rows, other.columns);
        for row in 0..self.rows {
            self.row_times(row, other, product.row_mut(row));
        }
        product
    }

    /// Row `row` of the product with `other` (k × n), into `out` (n).
    fn row_times(&self, row: usize, other: &Self, out: &mut [f64]) {
        out.fill(0.0);
        for (inner, &factor) in self.row(row).iter().enumerate() {
            add_scaled(out, factor, other.row(inner));
        }
    }

    /// ‖self · other‖_F, with one row of the product in memory at a time.
    pub(super) fn product_norm(&self, other: &Self) -> f64 {
        let mut line = vec![0.0; other.columns];
        let mut squares = 0.0;
        for row in 0..self.rows {
            self.row_times(row, other, &mut line);
            squares += dot(&line, &line);
        }
        squares.sqrt()
    }

    /// The Gram matrix of the rows, self · selfᵀ.
    pub(super) fn gram(&self) -> Self {
        let mut gram = Self::zeros(self.rows, self.rows);
        for i in 0..self.rows {
            for j in 0..self.rows {
                gram.values[i * self.rows + j] = dot(self.row(i), self.row(j));
            }
        }
        gram
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add_scaled(sum: &mut [f64], factor: f64, values: &[f64]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

/// Orthonormal rows that span the rows of `matrix` (k × n): Q (min(k, n) × n), so that
/// matrix = (matrix · Qᵀ) · Q.
///
/// Householder's reflections (Golub and Van Loan, section 5.2), which give orthonormal rows
/// whatever the rank.
pub(super) fn orthonormal_rows(matrix: &Dense) -> Dense {
    let (count, length) = (matrix.rows.min(matrix.columns), matrix.columns);
    let mut work = matrix.clone();
    let mut reflectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    for pivot in 0..count {
        let mut normal = work.row(pivot).to_vec();
        normal[..pivot].fill(0.0);
        let norm = dot(&normal, &normal).sqrt();
        normal[pivot] += norm.copysign(normal[pivot]);
        let squares = dot(&normal, &normal);
        if squares > 0.0 {
            let scale = squares.sqrt().recip();
            normal.iter_mut().for_each(|value| *value *= scale);
        }
        for row in pivot..work.rows {
            reflect(work.row_mut(row), &normal);
        }
        reflectors.push(normal);
    }
    let mut rows = Dense::zeros(count, length);
    for row in 0..count {
        rows.values[row * length + row] = 1.0;
        for normal in reflectors.iter().rev() {
            reflect(rows.row_mut(row), normal);
        }
    }
    rows
}

/// values − 2·(normal·values)·normal, of a normal of length 1 or 0.
fn reflect(values: &mut [f64], normal: &[f64]) {
    let along = dot(values, normal);
    add_scaled(values, -2.0 * along, normal);
}

/// Turns the rows of `matrix` (k × n) until they are orthogonal, and those of `other` (k × m)
/// with them, then puts the longest rows first.
///
/// One-sided Jacobi (Golub and Van Loan, section 8.6.3): the product matrixᵀ · other stays what
/// it was, and the rows' lengths become the singular values of `matrix`.
pub(super) fn orthogonalise(matrix: &mut Dense, other: &mut Dense) {
    const SWEEPS: usize = 60;
    // Of f32 factors, far below what f32 shows.
    const TOLERANCE: f64 = 1e-12;
    // Rows of rounding errors only need not be orthogonal.
    let noise = 1e-28 * dot(&matrix.values, &matrix.values);
    for _ in 0..SWEEPS {
        let mut turned = false;
        for i in 0..matrix.rows {
            for j in i + 1..matrix.rows {
                let (a, b) = (matrix.row(i), matrix.row(j));
                let (alpha, beta, gamma) = (dot(a, a), dot(b, b), dot(a, b));
                if gamma.abs() <= (TOLERANCE * (alpha * beta).sqrt()).max(noise) {
                    continue;
                }
                turned = true;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let tangent = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cosine = (1.0 + tangent * tangent).sqrt().recip();
                turn(matrix, i, j, cosine, cosine * tangent);
                turn(other, i, j, cosine, cosine * tangent);
            }
        }
        if !turned {
            break;
        }
    }
    let mut order: Vec<usize> = (0..matrix.rows).collect();
    let lengths: Vec<f64> = order
        .iter()
        .map(|&row| dot(matrix.row(row), matrix.row(row)))
        .collect();
    order.sort_by(|&a, &b| lengths[b].total_cmp(&lengths[a]));
    *matrix = rows_in_order(matrix, &order);
    *other = rows_in_order(other, &order);
}

fn turn(matrix: &mut Dense, i: usize, j: usize, cosine: f64, sine: f64) {
    for column in 0..matrix.columns {
        let (at_i, at_j) = (i * matrix.columns + column, j * matrix.columns + column);
        let (a, b) = (matrix.values[at_i], matrix.values[at_j]);
        matrix.values[at_i] = cosine * a - sine * b;
        matrix.values[at_j] = sine * a + cosine * b;
    }
}

fn rows_in_order(matrix: &Dense, order: &[usize]) -> Dense {
    Dense {
        values: order
            .iter()
            .flat_map(|&row| matrix.row(row))
            .copied()
            .collect(),
        ..*matrix
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_dense(most: usize) -> impl Strategy<Value = Dense> {
        (1..most, 1..most).prop_flat_map(|(rows, columns)| {
            // Some zeros, so that ranks fall short too.
            let value = prop_oneof![Just(0.0), -3.0..3.0f64];
            prop::collection::vec(value, rows * columns).prop_map(move |values| Dense {
                rows,
                columns,
                values,
            })
        })
    }

    fn close(a: &Dense, b: &Dense) -> bool {
        (a.rows, a.columns) == (b.rows, b.columns)
            && a.values
                .iter()
                .zip(&b.values)
                .all(|(a, b)| (a - b).abs() < 1e-9)
    }

    fn identity(size: usize) -> Dense {
        let mut identity = Dense::zeros(size, size);
        (0..size).for_each(|i| identity.values[i * size + i] = 1.0);
        identity
    }

    proptest! {
        #[test]
        fn orthonormal_rows_span_the_matrix(matrix in any_dense(9)) {
            let rows = orthonormal_rows(&matrix);
            prop_assert!(close(&rows.gram(), &identity(rows.rows)));
            let back = matrix.times(&rows.transposed()).times(&rows);
            prop_assert!(close(&back, &matrix));
        }

        #[test]
        fn orthogonalised_rows_keep_the_product(matrix in any_dense(9)) {
            let (mut turned, mut other) = (matrix.clone(), identity(matrix.rows));
            orthogonalise(&mut turned, &mut other);
            prop_assert!(close(&other.transposed().times(&turned), &matrix));
            prop_assert!(close(&other.gram(), &identity(matrix.rows)));
            let gram = turned.gram();
            for i in 0..gram.rows {
                for j in 0..i {
                    prop_assert!(gram.values[i * gram.rows + j].abs() < 1e-9);
                    prop_assert!(gram.row(i)[i] <= gram.row(j)[j]);
                }
            }
        }

        #[test]
        fn product_norm_needs_no_product(a in any_dense(9), columns in 1usize..6) {
            let b = Dense { rows: a.columns, columns, values: (0..a.columns * columns).map(|i| i as f64).collect() };
            let product = a.times(&b);
            let norm = dot(&product.values, &product.values).sqrt();
            prop_assert!((a.product_norm(&b) - norm).abs() <= 1e-9 * norm);
        }
    }

    #[test]
    fn known_singular_values_are_found() {
        // [[3, 0], [4, 5]] has the singular values √45 and √5.
        let mut matrix = Dense {
            rows: 2,
            columns: 2,
            values: vec![3.0, 0.0, 4.0, 5.0],
        };
        orthogonalise(&mut matrix, &mut identity(2));
        let length = |row| dot(matrix.row(row), matrix.row(row));
        assert!((length(0) - 45.0).abs() < 1e-12 && (length(1) - 5.0).abs() < 1e-12);
    }
}
