//! Scaled dot-product attention within each sequence of a packed batch (Vaswani et al. 2017).

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use super::math::{exp, vectorised};
use super::{output, values};

/// Which rows of a sequence ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Queries {
    /// Every token.
    All,
    /// One row a sequence: the token at this place of it.
    At(Arc<[usize]>),
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
    /// The softmax of each sequence, (heads, m, t), kept for the backward pass.
    probabilities: OnceLock<Vec<CpuStorage>>,
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
            probabilities: OnceLock::new(),
            keep: q.track_op() || k.track_op() || v.track_op(),
        };
        q.apply_op3(k, v, op)
    }

    fn spans(&self, hidden: usize) -> impl Iterator<Item = Span> {
        let mut row = 0;
        let heads = self.heads;
        self.lengths.iter().enumerate().map(move |(index, &keys)| {
            let first_key = row;
            row += keys;
            let (first_query, queries, place) = match &self.queries {
                Queries::All => (first_key, keys, 0),
                Queries::At(places) => (index, 1, places[index]),
            };
            Span {
                heads,
                size: hidden / heads,
                hidden,
                first_query,
                queries,
                place,
                first_key,
                keys,
            }
        })
    }

    fn check(&self, q: &Layout, k: &Layout, v: &Layout) -> Result<usize> {
        let (rows, hidden) = q.shape().dims2()?;
        let keys: usize = self.lengths.iter().sum();
        let queries = match &self.queries {
            Queries::All => keys,
            Queries::At(places) => places.len(),
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

/// One sequence's rows in a packed batch.
struct Span {
    heads: usize,
    size: usize,
    hidden: usize,
    first_query: usize,
    queries: usize,
    /// Place of the first query in the sequence.
    place: usize,
    first_key: usize,
    keys: usize,
}

impl Span {
    /// (heads, m, d) out of (M, H).
    fn query_layout(&self, base: usize) -> Layout {
        let start = base + self.first_query * self.hidden;
        let shape = (self.heads, self.queries, self.size).into();
        Layout::new(shape, vec![self.size, self.hidden, 1], start)
    }

    /// (heads, t, d) out of (N, H).
    fn key_layout(&self, base: usize) -> Layout {
        let start = base + self.first_key * self.hidden;
        let shape = (self.heads, self.keys, self.size).into();
        Layout::new(shape, vec![self.size, self.hidden, 1], start)
    }

    /// (heads, m, t), contiguous.
    fn score_layout(&self) -> Layout {
        Layout::contiguous((self.heads, self.queries, self.keys))
    }

    /// Writes (heads, rows, d) values into the rows of an (_, H) matrix from `first` on.
    fn scatter(
        &self,
        from: &CpuStorage,
        into: &mut [f32],
        first: usize,
        rows: usize,
    ) -> Result<()> {
        let blocks = from.as_slice::<f32>()?.chunks_exact(self.size);
        for (index, block) in blocks.enumerate() {
            let (head, row) = (index / rows, index % rows);
            let start = (first + row) * self.hidden + head * self.size;
            into[start..start + self.size].copy_from_slice(block);
        }
        Ok(())
    }

    /// a x b, both (heads, _, _).
    fn product(&self, a: (&CpuStorage, &Layout), b: (&CpuStorage, &Layout)) -> Result<CpuStorage> {
        let (heads, m, k) = a.1.shape().dims3()?;
        let (_, _, n) = b.1.shape().dims3()?;
        a.0.matmul(b.0, (heads, m, n, k), a.1, b.1)
    }

    /// The keys that a query of this sequence attends to.
    fn seen(&self, query: usize, window: Option<usize>) -> Range<usize> {
        let place = self.place + query;
        match window {
            None => 0..self.keys,
            Some(far) => place.saturating_sub(far)..place.saturating_add(far + 1).min(self.keys),
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}

fn floats(storage: CpuStorage) -> Result<Vec<f32>> {
    match storage {
        CpuStorage::F32(values) => Ok(values),
        _ => bail!("attention: expected f32"),
    }
}

/// softmax(scale · row) in place.
fn softmax(row: &mut [f32], scale: f32) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    vectorised(
        #[inline(always)]
        || row.iter_mut().for_each(|s| *s = exp((*s - most) * scale)),
    );
    let total: f32 = row.iter().sum();
    row.iter_mut().for_each(|s| *s /= total);
}

/// The gradient of scores before the scale, in place of the gradient `dp` of probabilities `p`:
/// scale · p ∘ (dp − ⟨p, dp⟩).
fn softmax_gradient(dp: &mut [f32], p: &[f32], scale: f32) {
    let along: f32 = dp.iter().zip(p).map(|(dp, p)| dp * p).sum();
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
        let mut y = vec![0.0; values(q, q_layout)?.len()];
        values(k, k_layout)?;
        values(v, v_layout)?;
        let mut kept = Vec::new();
        for span in self.spans(hidden) {
            let queries = span.query_layout(q_layout.start_offset());
            let keys = span.key_layout(k_layout.start_offset()).transpose(1, 2)?;
            let mut p = floats(span.product((q, &queries), (k, &keys))?)?;
            for (index, row) in p.chunks_exact_mut(span.keys).enumerate() {
                let seen = span.seen(index % span.queries, self.window);
                row[..seen.start].fill(0.0);
                row[seen.end..].fill(0.0);
                softmax(&mut row[seen], span.scale());
            }
            let p = CpuStorage::F32(p);
            let v_rows = span.key_layout(v_layout.start_offset());
            let context = span.product((&p, &span.score_layout()), (v, &v_rows))?;
            span.scatter(&context, &mut y, span.first_query, span.queries)?;
            if self.keep {
                kept.push(p);
            }
        }
        self.probabilities.get_or_init(|| kept);
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
        let inputs = [q, k, v, &gradient].map(Tensor::storage_and_layout);
        let [
            (q_store, q_at),
            (k_store, k_at),
            (v_store, v_at),
            (dy_store, dy_at),
        ] = &inputs;
        let (Storage::Cpu(qs), Storage::Cpu(ks), Storage::Cpu(vs), Storage::Cpu(dys)) =
            (&**q_store, &**k_store, &**v_store, &**dy_store)
        else {
            bail!("attention: expected tensors in main memory");
        };
        let hidden = self.check(q_at, k_at, v_at)?;
        let Some(kept) = self.probabilities.get() else {
            bail!("attention: the backward pass came before the forward pass");
        };
        let zeros = |layout: &Layout| vec![0.0f32; layout.shape().elem_count()];
        let (mut dq, mut dk, mut dv) = (zeros(q_at), zeros(k_at), zeros(v_at));
        for (span, p) in self.spans(hidden).zip(kept) {
            let scores = span.score_layout();
            let dy = span.query_layout(dy_at.start_offset());
            let values = span.key_layout(v_at.start_offset()).transpose(1, 2)?;
            let mut ds = floats(span.product((dys, &dy), (vs, &values))?)?;
            let rows = ds.chunks_exact_mut(span.keys);
            for (dp, p) in rows.zip(p.as_slice::<f32>()?.chunks_exact(span.keys)) {
                softmax_gradient(dp, p, span.scale());
            }
            let ds = CpuStorage::F32(ds);
            let flipped = scores.transpose(1, 2)?;
            let of_v = span.product((p, &flipped), (dys, &dy))?;
            span.scatter(&of_v, &mut dv, span.first_key, span.keys)?;
            let keys = span.key_layout(k_at.start_offset());
            let of_q = span.product((&ds, &scores), (ks, &keys))?;
            span.scatter(&of_q, &mut dq, span.first_query, span.queries)?;
            let queries = span.query_layout(q_at.start_offset());
            let of_k = span.product((&ds, &flipped), (qs, &queries))?;
            span.scatter(&of_k, &mut dk, span.first_key, span.keys)?;
        }
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok((
            Some(tensor(dq, q)?),
            Some(tensor(dk, k)?),
            Some(tensor(dv, v)?),
        ))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;
    use candle_nn::ops::softmax;

    use super::{Attention, Queries, Tensor};
    use crate::ops::linear::tests::{assert_close, random};

    /// One sequence after the other, with candle's own operations.
    fn plain(
        heads: usize,
        lengths: &[usize],
        window: Option<usize>,
        queries: &Queries,
        qkv: [&Tensor; 3],
    ) -> Tensor {
        let size = qkv[0].dim(1).unwrap() / heads;
        let (mut row, mut parts) = (0, Vec::new());
        for (index, &length) in lengths.iter().enumerate() {
            let (first, count, place) = match queries {
                Queries::All => (row, length, 0),
                Queries::At(places) => (index, 1, places[index]),
            };
            let far = |(query, key): (usize, usize)| {
                let apart = (place + query).abs_diff(key);
                f32::from(u8::from(window.is_some_and(|window| apart > window))) * -1e9
            };
            let pairs = (0..count).flat_map(|q| (0..length).map(move |k| (q, k)));
            let hidden: Vec<f32> = pairs.map(far).collect();
            let hidden = Tensor::from_vec(hidden, (1, count, length), qkv[0].device()).unwrap();
            let split = |t: &Tensor, first, count| {
                let rows = t.narrow(0, first, count).unwrap();
                let rows = rows.reshape((count, heads, size)).unwrap();
                rows.transpose(0, 1).unwrap().contiguous().unwrap()
            };
            let q = (split(qkv[0], first, count) / (size as f64).sqrt()).unwrap();
            let [k, v] = [qkv[1], qkv[2]].map(|t| split(t, row, length));
            let scores = q.matmul(&k.t().unwrap()).unwrap();
            let scores = scores.broadcast_add(&hidden).unwrap();
            let context = softmax(&scores, 2).unwrap().matmul(&v).unwrap();
            let context = context.transpose(0, 1).unwrap();
            parts.push(context.reshape((count, heads * size)).unwrap());
            row += length;
        }
        Tensor::cat(&parts, 0).unwrap()
    }

    #[test]
    fn value_and_gradients_equal_plain_candle() {
        let cases: [(usize, usize, &[usize]); 4] = [
            (1, 1, &[1]),
            (2, 6, &[3, 1, 5]),
            (4, 32, &[8, 8]),
            (3, 27, &[2, 17]),
        ];
        for (heads, hidden, lengths) in cases {
            let middles: Vec<usize> = lengths.iter().map(|length| length / 2).collect();
            for queries in [Queries::All, Queries::At(middles.into())] {
                for window in [None, Some(0), Some(2), Some(100)] {
                    compare(heads, hidden, lengths, window, &queries);
                }
            }
        }
    }

    fn compare(
        heads: usize,
        hidden: usize,
        lengths: &[usize],
        window: Option<usize>,
        queries: &Queries,
    ) {
        let rows: usize = lengths.iter().sum();
        let asked = match queries {
            Queries::All => rows,
            Queries::At(places) => places.len(),
        };
        let var = |rows, seed| {
            let values = (random((rows, hidden), seed) * 2.0).unwrap();
            Var::from_tensor(&values).unwrap()
        };
        let (q, k, v) = (var(asked, 1), var(rows, 2), var(rows, 3));
        let qkv = [q.as_tensor(), k.as_tensor(), v.as_tensor()];
        let ours = Attention::forward(heads, &lengths.into(), window, queries.clone(), qkv);
        let (ours, theirs) = (ours.unwrap(), plain(heads, lengths, window, queries, qkv));
        assert_close(&ours, &theirs, 1e-5);
        let dy = random((asked, hidden), 4);
        for var in [&q, &k, &v] {
            let gradient = |y: &Tensor| {
                let loss = (y * &dy).unwrap().sum_all().unwrap();
                loss.backward().unwrap().get(var).unwrap().clone()
            };
            assert_close(&gradient(&ours), &gradient(&theirs), 2e-5);
        }
    }

    #[test]
    fn lengths_that_do_not_fill_the_batch_are_refused() {
        let x = random((4, 6), 1);
        let attend = |heads, lengths: &[usize]| {
            Attention::forward(heads, &lengths.into(), None, Queries::All, [&x, &x, &x])
        };
        assert!(attend(2, &[4]).is_ok());
        assert!(attend(2, &[3]).is_err());
        assert!(attend(4, &[4]).is_err());
        let at = |places: &[usize]| {
            let (q, queries) = (random((1, 6), 1), Queries::At(places.into()));
            Attention::forward(2, &[4].into(), None, queries, [&q, &x, &x])
        };
        assert!(at(&[3]).is_ok());
        assert!(at(&[4]).is_err());
    }
}
