//! Attention of few queries, without keys and values of all tokens.
//!
//! A query q of head h meets the keys K = X Wᵀ only in q Kᵀ = (q W_h) Xᵀ, and the values V = X W'ᵀ + b'
//! only in p V = (p X) W'ᵀ + b', since p sums to 1; the keys' bias adds the same to every score of a
//! query, which the softmax takes off again. So both projections can go from the tokens to the
//! queries, where there are few: DeepSeek-AI (2024, arXiv 2405.04434, section 2.1.2) absorbs them
//! likewise. In a masked LM's last layer only the masks ask.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::attention::Attention;
use super::linear::FrozenLinear;
use super::{output, values, with_values};

/// For each query and head the mixture of the inputs that the head attends to.
///
/// # Shapes
/// `asked` (S, H): one query a sequence. `x` (N, H): every sequence's inputs, one sequence after the
/// other. -> (S·heads, H)
pub(crate) fn mixtures(
    heads: usize,
    key: &FrozenLinear,
    lengths: &Arc<[usize]>,
    asked: &Tensor,
    x: &Tensor,
) -> Result<Tensor> {
    let spread = asked.apply_op1(Spread(heads))?;
    let asked = spread.apply_op1(Turned(key.clone()))?;
    Attention::of_inputs(heads, lengths, &asked, x)
}

/// Of the values of each head's mixture, (S·heads, H), the head's own part: (S, H).
pub(crate) fn own_parts(heads: usize, values: &Tensor) -> Result<Tensor> {
    values.apply_op1(Gather(heads))
}

/// Each row as one row a head, with zeros for the other heads' columns: (S, H) -> (S·heads, H).
struct Spread(usize);

/// The other way, without what lies in other heads' columns: (S·heads, H) -> (S, H).
struct Gather(usize);

fn spread(rows: &[f32], hidden: usize, heads: usize) -> Vec<f32> {
    let size = hidden / heads;
    let mut spread = vec![0.0; rows.len() * heads];
    let parts = rows.chunks_exact(size).zip(spread.chunks_exact_mut(hidden));
    for (index, (part, row)) in parts.enumerate() {
        let column = index % heads * size;
        row[column..column + size].copy_from_slice(part);
    }
    spread
}

fn gather(rows: &[f32], hidden: usize, heads: usize) -> Vec<f32> {
    let size = hidden / heads;
    let rows = rows.chunks_exact(hidden).enumerate();
    rows.flat_map(|(index, row)| &row[index % heads * size..][..size])
        .copied()
        .collect()
}

/// Rows and width, where the heads divide the width, and the rows too if they are one a head.
fn check(layout: &Layout, heads: usize, rows_are_heads: bool) -> Result<(usize, usize)> {
    let (rows, hidden) = layout.shape().dims2()?;
    let fits = heads > 0 && hidden.is_multiple_of(heads);
    if !fits || (rows_are_heads && !rows.is_multiple_of(heads)) {
        bail!("heads: got {layout:?} for {heads} heads");
    }
    Ok((rows, hidden))
}

impl CustomOp1 for Spread {
    fn name(&self) -> &'static str {
        "spread-heads"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, hidden) = check(layout, self.0, false)?;
        let y = spread(values(x, layout)?, hidden, self.0);
        Ok(output(y, (rows * self.0, hidden)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let hidden = x.dim(1)?;
        let dx = with_values(gradient, |dy| Ok(gather(dy, hidden, self.0)))?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "gather-heads"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, hidden) = check(layout, self.0, true)?;
        let y = gather(values(x, layout)?, hidden, self.0);
        Ok(output(y, (rows / self.0, hidden)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let hidden = x.dim(1)?;
        let dx = with_values(gradient, |dy| Ok(spread(dy, hidden, self.0)))?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

/// x W with W (out, in) frozen: (S, out) -> (S, in).
struct Turned(FrozenLinear);

impl CustomOp1 for Turned {
    fn name(&self) -> &'static str {
        "turned-linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (output_width, input) = self.0.widths();
        match layout.dims() {
            &[rows, width] if width == output_width => {
                let y = self.0.input_gradient(values(x, layout)?);
                Ok(output(y, (rows, input)))
            }
            _ => bail!("turned linear layer: expected (S, {output_width}), got {layout:?}"),
        }
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_values(gradient, |dy| Ok(self.0.product_without_bias(dy)))?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::ops::Queries;
    use crate::ops::linear::tests::{assert_close, frozen, random};

    /// Value, and gradients of queries and inputs, equal those with keys and values of all tokens.
    #[test]
    fn equals_attention_over_keys_and_values() {
        let cases: [(usize, usize, &[usize], [usize; 3]); 3] = [
            (1, 3, &[1, 4, 2], [0, 2, 1]),
            (2, 6, &[3, 1, 5], [1, 0, 4]),
            (4, 32, &[9, 8, 17], [8, 0, 3]),
        ];
        for (heads, hidden, lengths, places) in cases {
            let rows = lengths.iter().sum();
            let lengths: Arc<[usize]> = lengths.into();
            let var = |rows, seed| Var::from_tensor(&random((rows, hidden), seed)).unwrap();
            let (q, x) = (var(lengths.len(), 1), var(rows, 2));
            let layer = |seed| frozen(&random((hidden, hidden), seed), vec![0.3; hidden]);
            let (key, value) = (layer(3), layer(4));
            let mixed = mixtures(heads, &key, &lengths, &q, &x).unwrap();
            let ours = own_parts(heads, &value.forward(&mixed).unwrap()).unwrap();
            let (keys, values) = (key.forward(&x).unwrap(), value.forward(&x).unwrap());
            let (queries, qkv) = (Queries::At(places.into()), [q.as_tensor(), &keys, &values]);
            let theirs = Attention::forward(heads, &lengths, None, queries, qkv).unwrap();
            assert_close(&ours, &theirs, 1e-5);
            let dy = random((lengths.len(), hidden), 5);
            for var in [&q, &x] {
                let gradient = |y: &Tensor| {
                    let loss = (y * &dy).unwrap().sum_all().unwrap();
                    loss.backward().unwrap().get(var).unwrap().clone()
                };
                assert_close(&gradient(&ours), &gradient(&theirs), 2e-5);
            }
        }
    }

    #[test]
    fn heads_that_do_not_divide_the_width_are_refused() {
        let x = random((4, 6), 1);
        assert!(x.apply_op1(Spread(4)).is_err());
        assert!(x.apply_op1(Spread(0)).is_err());
        assert!(own_parts(3, &x).is_err());
        assert!(own_parts(2, &x).is_ok());
    }
}
