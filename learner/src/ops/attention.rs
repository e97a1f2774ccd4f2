//! Scaled dot-product attention within each sequence of a packed batch (Vaswani et al. 2017).

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::gemm::{Out, Start, View, multiply};
use super::math::{exp, most, total, vectorised};
use super::{output, read, values};

/// Which rows of a sequence ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Queries {
    /// Every token.
    All,
    /// One row a sequence: the token at this place of it.
    At(Arc<[usize]>),
    /// So many rows a sequence, which see all of it.
    Several(usize),
}

/// softmax(Q Kᵀ / √d) V, per sequence and head.
///
/// # Shapes
/// Q (M, H), K (N, H), V (N, H) -> (M, H), where N is the sum of the lengths, M is N or the
/// number of sequences, and H holds the heads one after the other.
#[derive(Debug)]
pub(crate) struct Attention {
    heads: usize,
    lengths: Arc<[usize]>,
    /// Farthest place that a token attends to.
    window: Option<usize>,
    queries: Queries,
    /// What the scores are multiplied with.
    scale: f32,
    /// Whether keys and values are one matrix.
    shared: bool,
    /// The softmax of each sequence and head, (m, t), kept for the backward pass.
    probabilities: OnceLock<Vec<f32>>,
    keep: bool,
}

impl Attention {
    /// With a `window`, tokens attend to those at most that many places away.
    pub(crate) fn forward(
        heads: usize,
        lengths: &Arc<[usize]>,
        window: Option<usize>,
        queries: Queries,
        [q, k, v]: [&Tensor; 3],
    ) -> Result<Tensor> {
        let op = Self {
            heads,
            lengths: Arc::clone(lengths),
            window,
            queries,
            scale: scale(q.dim(1)?, heads),
            shared: false,
            probabilities: OnceLock::new(),
            keep: q.track_op() || k.track_op() || v.track_op(),
        };
        q.apply_op3(k, v, op)
    }

    /// softmax(U Xᵀ / √d) X, where each sequence has one row of U for each of a model's heads:
    /// (S·heads, H) and (N, H) -> (S·heads, H).
    pub(super) fn of_inputs(
        heads: usize,
        lengths: &Arc<[usize]>,
        asked: &Tensor,
        x: &Tensor,
    ) -> Result<Tensor> {
        let op = Self {
            heads: 1,
            lengths: Arc::clone(lengths),
            window: None,
            queries: Queries::Several(heads),
            scale: scale(x.dim(1)?, heads),
            shared: true,
            probabilities: OnceLock::new(),
            keep: asked.track_op() || x.track_op(),
        };
        asked.apply_op3(x, x, op)
    }

    /// Every head of every sequence.
    fn blocks(&self, hidden: usize) -> impl Iterator<Item = Block> {
        let mut row = 0;
        let (heads, size) = (self.heads, hidden / self.heads);
        let spans = self.lengths.iter().enumerate().map(move |(index, &keys)| {
            let first_key = row;
            row += keys;
            let (first_query, queries, place) = match &self.queries {
                Queries::All => (first_key, keys, 0),
                Queries::At(places) => (index, 1, places[index]),
                Queries::Several(count) => (index * count, *count, 0),
            };
            Block {
                size,
                hidden,
                column: 0,
                first_query,
                queries,
                place,
                first_key,
                keys,
            }
        });
        let columns = move |block: Block| {
            (0..heads).map(move |head| Block {
                column: head * size,
                ..block
            })
        };
        spans.flat_map(columns)
    }

    fn check(&self, q: &Layout, k: &Layout, v: &Layout) -> Result<usize> {
        let (rows, hidden) = q.shape().dims2()?;
        let keys: usize = self.lengths.iter().sum();
        let queries = match &self.queries {
            Queries::All => keys,
            Queries::At(places) => places.len(),
            Queries::Several(count) => self.lengths.len() * count,
        };
        if let Queries::At(places) = &self.queries {
            let mut pairs = places.iter().zip(&*self.lengths);
            if places.len() != self.lengths.len() || pairs.any(|(place, length)| place >= length) {
                bail!(
                    "attention: got the places {places:?} for {:?}",
                    self.lengths
                );
            }
        }
        let fits = k.dims() == [keys, hidden] && v.dims() == [keys, hidden] && rows == queries;
        if !fits || !hidden.is_multiple_of(self.heads) {
            bail!("attention: expected {queries} queries and {keys} keys, got {q:?}, {k:?}, {v:?}");
        }
        Ok(hidden)
    }
}

/// One head of one sequence in a packed batch: some rows, and some columns of them.
#[derive(Clone, Copy)]
struct Block {
    /// Width of the head.
    size: usize,
    hidden: usize,
    /// First column of the head.
    column: usize,
    first_query: usize,
    queries: usize,
    /// Place of the first query in the sequence.
    place: usize,
    first_key: usize,
    keys: usize,
}

impl Block {
    /// (m, d) out of (M, H).
    fn queries<'a>(&self, values: &'a [f32]) -> View<'a> {
        let values = &values[self.first_query * self.hidden + self.column..];
        View::strided(values, self.queries, self.size, self.hidden)
    }

    /// (t, d) out of (N, H).
    fn keys<'a>(&self, values: &'a [f32]) -> View<'a> {
        let values = &values[self.first_key * self.hidden + self.column..];
        View::strided(values, self.keys, self.size, self.hidden)
    }

    fn out_queries<'a>(&self, values: &'a mut [f32]) -> Out<'a> {
        Out {
            values: &mut values[self.first_query * self.hidden + self.column..],
            stride: self.hidden,
        }
    }

    fn out_keys<'a>(&self, values: &'a mut [f32]) -> Out<'a> {
        Out {
            values: &mut values[self.first_key * self.hidden + self.column..],
            stride: self.hidden,
        }
    }

    /// (m, t)
    fn scores<'a>(&self, values: &'a [f32]) -> View<'a> {
        View::new(values, self.queries, self.keys)
    }

    fn out_scores<'a>(&self, values: &'a mut [f32]) -> Out<'a> {
        Out {
            values,
            stride: self.keys,
        }
    }

    /// The keys that a query of this sequence attends to.
    fn seen(&self, query: usize, window: Option<usize>) -> Range<usize> {
        let place = self.place + query;
        match window {
            None => 0..self.keys,
            Some(far) => place.saturating_sub(far)..place.saturating_add(far + 1).min(self.keys),
        }
    }
}

/// 1/√d for heads of width d.
fn scale(hidden: usize, heads: usize) -> f32 {
    1.0 / ((hidden / heads.max(1)) as f32).sqrt()
}

/// softmax(scale · row) in place.
#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let most = most(row);
    row.iter_mut().for_each(|s| *s = exp((*s - most) * scale));
    let sum = total(row.len(), |i| row[i]);
    row.iter_mut().for_each(|s| *s /= sum);
}

/// The gradient of scores before the scale, in place of the gradient `dp` of probabilities `p`:
/// scale · p ∘ (dp − ⟨p, dp⟩).
#[inline(always)]
fn softmax_gradient(dp: &mut [f32], p: &[f32], scale: f32) {
    let p = &p[..dp.len()];
    let along = total(dp.len(), |i| dp[i] * p[i]);
    dp.iter_mut()
        .zip(p)
        .for_each(|(dp, p)| *dp = scale * p * (*dp - along));
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let hidden = self.check(q_layout, k_layout, v_layout)?;
        let (q, k, v) = (
            values(q, q_layout)?,
            values(k, k_layout)?,
            values(v, v_layout)?,
        );
        let mut y = vec![0.0; q.len()];
        let mut probabilities = Vec::new();
        for block in self.blocks(hidden) {
            if !self.keep {
                probabilities.clear();
            }
            let first = probabilities.len();
            probabilities.resize(first + block.queries * block.keys, 0.0);
            let p = &mut probabilities[first..];
            let keys = block.keys(k).transposed();
            multiply(block.queries(q), keys, block.out_scores(p), Start::Zero);
            vectorised(
                #[inline(always)]
                || {
                    for (query, row) in p.chunks_exact_mut(block.keys).enumerate() {
                        let seen = block.seen(query, self.window);
                        row[..seen.start].fill(0.0);
                        row[seen.end..].fill(0.0);
                        softmax(&mut row[seen], self.scale);
                    }
                },
            );
            let context = block.out_queries(&mut y);
            multiply(block.scores(p), block.keys(v), context, Start::Zero);
        }
        self.probabilities.get_or_init(|| probabilities);
        Ok(output(y, q_layout.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let hidden = self.check(q.layout(), k.layout(), v.layout())?;
        let Some(probabilities) = self.probabilities.get() else {
            bail!("attention: the backward pass came before the forward pass");
        };
        let (qs, ks, vs, dys) = (read(q)?, read(k)?, read(v)?, read(&gradient)?);
        let zeros = |like: &[f32]| vec![0.0f32; like.len()];
        // The lowest layer's keys are frozen unless they are adapted; what keys and values that are
        // one matrix get is added up.
        let wants_keys = k.track_op() && !self.shared;
        let mut dk = if wants_keys { zeros(&ks) } else { Vec::new() };
        let (mut dq, mut dv) = (zeros(&qs), zeros(&vs));
        let (mut ds, mut first) = (Vec::new(), 0);
        for block in self.blocks(hidden) {
            let entries = block.queries * block.keys;
            let p = &probabilities[first..first + entries];
            first += entries;
            ds.clear();
            ds.resize(entries, 0.0);
            let dy = block.queries(&dys);
            let v = block.keys(&vs).transposed();
            multiply(dy, v, block.out_scores(&mut ds), Start::Zero);
            vectorised(
                #[inline(always)]
                || {
                    let rows = ds.chunks_exact_mut(block.keys);
                    for (dp, p) in rows.zip(p.chunks_exact(block.keys)) {
                        softmax_gradient(dp, p, self.scale);
                    }
                },
            );
            let (ds, p) = (block.scores(&ds), block.scores(p));
            multiply(p.transposed(), dy, block.out_keys(&mut dv), Start::Zero);
            let (q, k) = (block.queries(&qs), block.keys(&ks));
            multiply(ds, k, block.out_queries(&mut dq), Start::Zero);
            if self.shared {
                multiply(ds.transposed(), q, block.out_keys(&mut dv), Start::Sum);
            } else if wants_keys {
                multiply(ds.transposed(), q, block.out_keys(&mut dk), Start::Zero);
            }
        }
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        let dk = wants_keys.then(|| tensor(dk, k)).transpose()?;
        Ok((Some(tensor(dq, q)?), dk, Some(tensor(dv, v)?)))
    }
}

#[cfg(test)]
mod tests;
