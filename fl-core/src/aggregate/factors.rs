//! LoRA's pairs of matrices, by their PEFT names, and products of several pairs in one.

use std::collections::BTreeMap;

use super::linear::Dense;
use crate::adapter::{Adapter, AdapterError, AdapterLayout, Matrix};

/// How the names of A's matrices (r × in) end.
pub(crate) const A: &str = ".lora_A.weight";
/// How the names of B's matrices (out × r) end.
pub(crate) const B: &str = ".lora_B.weight";

/// What a round adds to the frozen weights: one product for each adapted module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Residual {
    /// By the module's path: a PEFT name without `.lora_A.weight`.
    pub modules: BTreeMap<String, LowRank>,
}

/// The product B · A, scale included: (out × R) · (R × in).
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// out × R
    pub b: Matrix,
    /// R × in
    pub a: Matrix,
}

impl LowRank {
    /// The product, out × in.
    pub fn dense(&self) -> Matrix {
        Dense::from(&self.b)
            .times(&Dense::from(&self.a))
            .to_matrix()
    }
}

/// The names of one adapted module's matrices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) module: String,
    pub(super) a: String,
    pub(super) b: String,
}

/// The modules of a layout that have both A and B.
pub(super) fn pairs(layout: &AdapterLayout) -> Vec<Pair> {
    let pair = |a: &String| {
        let module = a.strip_suffix(A)?.to_owned();
        let b = format!("{module}{B}");
        layout.shapes.contains_key(&b).then(|| Pair {
            module,
            a: a.clone(),
            b,
        })
    };
    layout.shapes.keys().filter_map(pair).collect()
}

/// Several products in one: Σ_k w_k·B_k·A_k = b · a, with b = [w_1·B_1 … w_K·B_K] and
/// a = [A_1; …; A_K].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stack {
    /// out × R
    pub(super) b: Dense,
    /// R × in
    pub(super) a: Dense,
}

impl Stack {
    /// Stacks one module's pairs, each with its weight; the adapters hold both matrices.
    pub(super) fn new<'a>(
        pair: &Pair,
        adapters: impl IntoIterator<Item = (&'a Adapter, f64)>,
    ) -> Self {
        let (mut b_turned, mut a) = (Vec::new(), Vec::new());
        let (mut rank, mut output, mut input) = (0, 0, 0);
        for (adapter, weight) in adapters {
            let (Some(one_a), Some(one_b)) =
                (adapter.matrices.get(&pair.a), adapter.matrices.get(&pair.b))
            else {
                continue;
            };
            let turned = Dense::from(one_b).transposed();
            b_turned.extend(turned.values.iter().map(|value| value * weight));
            a.extend(Dense::from(one_a).values);
            rank += one_a.rows;
            (output, input) = (one_b.rows, one_a.columns);
        }
        let turned = Dense {
            rows: rank,
            columns: output,
            values: b_turned,
        };
        let a = Dense {
            rows: rank,
            columns: input,
            values: a,
        };
        Self {
            b: turned.transposed(),
            a,
        }
    }

    /// The product's factors times `scale`.
    pub(super) fn scaled(mut self, scale: f64) -> LowRank {
        self.b.values.iter_mut().for_each(|value| *value *= scale);
        LowRank {
            b: self.b.to_matrix(),
            a: self.a.to_matrix(),
        }
    }
}

/// ‖B·A‖_F over all modules of an adapter, from traces of small Gram matrices:
/// ‖B·A‖² = tr(Bᵀ·B · A·Aᵀ).
pub(super) fn product_norm(pairs: &[Pair], adapter: &Adapter) -> f64 {
    let square = |pair: &Pair| {
        let stack = Stack::new(pair, [(adapter, 1.0)]);
        let (b, a) = (stack.b.transposed().gram(), stack.a.gram());
        b.values
            .iter()
            .zip(&a.values)
            .map(|(b, a)| b * a)
            .sum::<f64>()
    };
    pairs.iter().map(square).sum::<f64>().max(0.0).sqrt()
}

/// An adapter whose pairs have at most this rank: the first rows of A and columns of B.
///
/// Of factors in the order of their singular values, as FlexLoRA gives them, this is the best
/// approximation of that rank; HetLoRA cuts the same way.
pub fn truncated(adapter: &Adapter, rank: usize) -> Adapter {
    resized(adapter, |found| found.min(rank))
}

/// An adapter whose pairs have this rank at least: rows of A and columns of B that are missing
/// are zeros.
pub(super) fn padded(adapter: &Adapter, layout: &AdapterLayout) -> Adapter {
    let mut padded = adapter.clone();
    for (name, matrix) in &mut padded.matrices {
        if let Some(&(rows, columns)) = layout.shapes.get(name) {
            *matrix = resize(matrix, rows, columns);
        }
    }
    padded
}

fn resized(adapter: &Adapter, rank: impl Fn(usize) -> usize) -> Adapter {
    let mut resized = adapter.clone();
    for (name, matrix) in &mut resized.matrices {
        if name.ends_with(A) {
            *matrix = resize(matrix, rank(matrix.rows), matrix.columns);
        } else if name.ends_with(B) {
            *matrix = resize(matrix, matrix.rows, rank(matrix.columns));
        }
    }
    resized
}

/// The upper left part of a matrix, with zeros where it has no values.
fn resize(matrix: &Matrix, rows: usize, columns: usize) -> Matrix {
    if (matrix.rows, matrix.columns) == (rows, columns) {
        return matrix.clone();
    }
    let mut resized = Matrix::zeros(rows, columns);
    let width = columns.min(matrix.columns);
    for row in 0..rows.min(matrix.rows) {
        let from = &matrix.values[row * matrix.columns..][..width];
        resized.values[row * columns..][..width].copy_from_slice(from);
    }
    resized
}

/// Checks an update whose pairs may have a smaller rank, from 1, than the layout's.
///
/// # Errors
/// The first difference, as [`AdapterLayout::check`] tells it.
pub(super) fn check_mixed(layout: &AdapterLayout, adapter: &Adapter) -> Result<(), AdapterError> {
    let mut own = layout.clone();
    for pair in pairs(layout) {
        let Some(a) = adapter.matrices.get(&pair.a) else {
            continue;
        };
        let (rank, input) = own.shapes.get(&pair.a).copied().unwrap_or_default();
        let (output, _) = own.shapes.get(&pair.b).copied().unwrap_or_default();
        let rank = a.rows.clamp(1, rank.max(1));
        own.shapes.insert(pair.a, (rank, input));
        own.shapes.insert(pair.b, (output, rank));
    }
    own.check(adapter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::testing::{lora, product};

    #[test]
    fn modules_are_paired_by_name() {
        let mut layout = lora(0, 2).layout();
        layout.shapes.insert("bias".into(), (1, 3));
        layout.shapes.insert("alone.lora_A.weight".into(), (1, 3));
        let found: Vec<String> = pairs(&layout).into_iter().map(|pair| pair.module).collect();
        assert_eq!(found, ["m.key", "m.query"]);
    }

    #[test]
    fn gram_norm_is_the_products_norm() {
        let adapter = lora(3, 2);
        let squares = ["m.key", "m.query"].map(|module| {
            let product = product(&adapter, module);
            product.iter().map(|value| value * value).sum::<f64>()
        });
        let norm = squares.iter().sum::<f64>().sqrt();
        assert!((product_norm(&pairs(&adapter.layout()), &adapter) - norm).abs() < 1e-6);
    }

    #[test]
    fn padding_keeps_the_product_and_truncation_undoes_it() {
        let (small, layout) = (lora(1, 2), lora(0, 4).layout());
        let large = padded(&small, &layout);
        layout.check(&large).unwrap();
        assert_eq!(product(&large, "m.key"), product(&small, "m.key"));
        assert_eq!(truncated(&large, 2), small);
    }

    #[test]
    fn mixed_ranks_are_checked() {
        let layout = lora(0, 4).layout();
        for rank in 1..=4 {
            check_mixed(&layout, &lora(1, rank)).unwrap();
        }
        assert!(check_mixed(&layout, &lora(1, 5)).is_err());
        assert!(check_mixed(&layout, &lora(1, 0)).is_err());
        let mut torn = lora(1, 2);
        let other = lora(1, 3).matrices["m.key.lora_B.weight"].clone();
        torn.matrices.insert("m.key.lora_B.weight".into(), other);
        assert!(check_mixed(&layout, &torn).is_err());
    }
}
