//! Rotary position embedding (Su et al. 2021): each pair of a head's dimensions is turned by an
//! angle that grows with the token's place.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::{output, values, with_values};

/// Cosine and sine for every place and pair of dimensions, as far as they were asked for.
#[derive(Debug)]
pub(crate) struct Angles {
    /// Pairs of one head.
    pairs: usize,
    /// (cos, sin), (places, pairs).
    turns: Vec<(f32, f32)>,
}

impl Angles {
    /// The angle of place p and pair i is p · θ^(−2i/d), for heads of d dimensions.
    pub(crate) fn new(theta: f64, size: usize, places: usize) -> Self {
        let pairs = size / 2;
        let frequency = |pair: usize| {
            let power = (2 * pair) as f32 / size as f32;
            1.0 / (theta as f32).powf(power)
        };
        let frequencies: Vec<f32> = (0..pairs).map(frequency).collect();
        let turn = |place: usize| {
            let angle = move |frequency: &f32| (place as f32 * frequency).sin_cos();
            frequencies.iter().map(angle)
        };
        let turns = (0..places).flat_map(turn);
        Self {
            pairs,
            turns: turns.map(|(sin, cos)| (cos, sin)).collect(),
        }
    }

    fn places(&self) -> usize {
        self.turns.len() / self.pairs
    }
}

/// Turns the rows' heads by the rows' places: dimension i with dimension i + d/2, as Hugging Face
/// pairs them.
///
/// # Shapes
/// (N, H) -> (N, H), H the heads one after the other.
pub(crate) struct Rotary {
    angles: Arc<Angles>,
    places: Arc<[u32]>,
}

impl Rotary {
    /// `places` holds each row's place in its sequence.
    pub(crate) fn forward(x: &Tensor, angles: &Arc<Angles>, places: &Arc<[u32]>) -> Result<Tensor> {
        let op = Self {
            angles: Arc::clone(angles),
            places: Arc::clone(places),
        };
        x.apply_op1(op)
    }

    /// Turns rows in place; by the opposite angles where `direction` is −1.
    fn turn(&self, rows: &mut [f32], width: usize, direction: f32) {
        let pairs = self.angles.pairs;
        for (row, &place) in rows.chunks_exact_mut(width).zip(&*self.places) {
            let turns = &self.angles.turns[place as usize * pairs..][..pairs];
            for head in row.chunks_exact_mut(2 * pairs) {
                let (first, second) = head.split_at_mut(pairs);
                for ((a, b), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                    let sin = direction * sin;
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        }
    }
}

impl CustomOp1 for Rotary {
    fn name(&self) -> &'static str {
        "rotary"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let size = 2 * self.angles.pairs;
        let most = self
            .places
            .iter()
            .max()
            .map_or(0, |&most| most as usize + 1);
        if rows != self.places.len() || !width.is_multiple_of(size) || most > self.angles.places() {
            bail!(
                "rotary: got {layout:?} for {} places up to {most}",
                self.places.len()
            );
        }
        let mut y = values(storage, layout)?.to_vec();
        self.turn(&mut y, width, 1.0);
        Ok(output(y, layout.shape().clone()))
    }

    /// The gradient is turned back.
    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = with_values(gradient, |dy| Ok(dy.to_vec()))?;
        self.turn(&mut dx, x.dim(1)?, -1.0);
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use candle_nn::rotary_emb::rope_slow;

    use super::*;
    use crate::ops::linear::tests::{assert_close, random};

    /// One row at a time with candle's own operations.
    fn plain(x: &Tensor, theta: f64, size: usize, places: &[u32]) -> Tensor {
        let (rows, width) = x.dims2().unwrap();
        let power = |pair: usize| -2.0 * pair as f64 / size as f64;
        let frequencies: Vec<f32> = (0..size / 2)
            .map(|pair| theta.powf(power(pair)) as f32)
            .collect();
        let turned = (0..rows).map(|row| {
            let place = places[row] as f32;
            let angles: Vec<f32> = frequencies.iter().map(|f| f * place).collect();
            let angles = Tensor::from_vec(angles, (1, size / 2), &Device::Cpu).unwrap();
            let heads = x.narrow(0, row, 1).unwrap();
            let heads = heads.reshape((1, width / size, 1, size)).unwrap();
            let turned = rope_slow(&heads, &angles.cos().unwrap(), &angles.sin().unwrap());
            turned.unwrap().reshape((1, width)).unwrap()
        });
        Tensor::cat(&turned.collect::<Vec<_>>(), 0).unwrap()
    }

    #[test]
    fn value_and_gradient_equal_plain_candle() {
        let places: [u32; 6] = [0, 1, 2, 0, 1, 40];
        for (heads, size, theta) in [(1, 2, 1e4), (3, 8, 1.6e5), (2, 6, 1e4)] {
            let x = Var::from_tensor(&random((places.len(), heads * size), 1)).unwrap();
            let angles = Arc::new(Angles::new(theta, size, 41));
            let ours = Rotary::forward(&x, &angles, &places.into()).unwrap();
            let theirs = plain(&x, theta, size, &places);
            assert_close(&ours, &theirs, 1e-5);
            let dy = random((places.len(), heads * size), 2);
            let gradient = |y: &Tensor| {
                let loss = (y * &dy).unwrap().sum_all().unwrap();
                loss.backward().unwrap().get(&x).unwrap().clone()
            };
            assert_close(&gradient(&ours), &gradient(&theirs), 1e-5);
        }
    }

    #[test]
    fn places_that_do_not_fit_are_refused() {
        let x = random((2, 8), 1);
        let angles = Arc::new(Angles::new(1e4, 4, 3));
        let turn = |places: &[u32]| Rotary::forward(&x, &angles, &places.into());
        assert!(turn(&[0, 2]).is_ok());
        assert!(turn(&[0, 3]).is_err());
        assert!(turn(&[0]).is_err());
    }
}
