//! Dropout's masks (Srivastava et al. 2014), the same for the same seed, client, round and step.

use std::sync::atomic::{AtomicU32, Ordering};

use candle_core::{Device, Tensor};
use fl_core::random::{Purpose, generator};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::Result;

/// Where the random numbers of one training step come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// The room's seed.
    pub seed: u32,
    /// Tells clients and rounds apart ([`fl_core::random::client_round`]).
    pub index: u64,
    /// The step within the round, from 0.
    pub step: u32,
}

/// Draws the masks of one step.
#[derive(Debug)]
pub(crate) struct Dropout {
    probability: f32,
    rng: ChaCha8Rng,
    step: u32,
    /// Masks drawn so far. A model asks for them in one order, so that each of its calls of a
    /// module has a stream of its own.
    drawn: AtomicU32,
}

impl Dropout {
    /// Masks that leave each value out with `probability`, from 0 to below 1.
    pub(crate) fn new(probability: f32, noise: Noise) -> Self {
        Self {
            probability,
            rng: generator(noise.seed, Purpose::Dropout, noise.index),
            step: noise.step,
            drawn: AtomicU32::new(0),
        }
    }

    /// The next mask: 0 for what is left out, 1 / (1 − probability) for the rest, so that the
    /// mean stays.
    ///
    /// # Shapes
    /// (rows, width)
    pub(crate) fn mask(&self, rows: usize, width: usize) -> Result<Tensor> {
        let call = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut rng = self.rng.clone();
        rng.set_stream(u64::from(self.step) << 32 | u64::from(call));
        let limit = (f64::from(self.probability) * 2f64.powi(32)) as u64;
        let kept = 1.0 / (1.0 - self.probability);
        let draw = |_| match u64::from(rng.next_u32()) < limit {
            true => 0.0,
            false => kept,
        };
        let values: Vec<f32> = (0..rows * width).map(draw).collect();
        Ok(Tensor::from_vec(values, (rows, width), &Device::Cpu)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(dropout: &Dropout) -> Vec<f32> {
        let mask = dropout.mask(50, 40).unwrap();
        mask.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn masks_repeat_and_differ() {
        let noise = Noise {
            seed: 3,
            index: 1 << 32 | 2,
            step: 4,
        };
        let first = |noise| values(&Dropout::new(0.3, noise));
        assert_eq!(first(noise), first(noise));
        for other in [
            Noise { seed: 4, ..noise },
            Noise { index: 2, ..noise },
            Noise { step: 5, ..noise },
        ] {
            assert_ne!(first(noise), first(other));
        }
        let dropout = Dropout::new(0.3, noise);
        assert_ne!(values(&dropout), values(&dropout));
    }

    #[test]
    fn mean_of_many_masks_is_one() {
        for probability in [0.0, 0.1, 0.5, 0.9] {
            let dropout = Dropout::new(probability, Noise::default());
            let all: Vec<f32> = (0..50).flat_map(|_| values(&dropout)).collect();
            let kept = 1.0 / (1.0 - probability);
            assert!(all.iter().all(|value| *value == 0.0 || *value == kept));
            let mean = all.iter().sum::<f32>() / all.len() as f32;
            // Four standard errors of the mean of 100,000 draws.
            let error = 4.0 * (probability / (1.0 - probability) / 1e5).sqrt();
            assert!((mean - 1.0).abs() <= error + 1e-4, "{probability}: {mean}");
        }
    }
}
