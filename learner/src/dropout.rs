//! Dropout's masks (Srivastava et al. 2014), the same for the same seed, client, round and step.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use candle_core::{Device, Tensor};
use fl_core::random::{Purpose, generator};
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::prompt::Encoded;

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

/// Where a text of a batch begins among the batch's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Tokens before it.
    pub token: u32,
    /// Prompts before it.
    pub prompt: u32,
}

impl Place {
    /// The place of whatever follows `text`.
    pub(crate) fn behind(self, text: &Encoded) -> Self {
        Self {
            token: self.token + text.tokens() as u32,
            prompt: self.prompt + text.prompts().len() as u32,
        }
    }

    /// The places of texts that are a whole batch.
    pub fn of_all<'a>(texts: impl IntoIterator<Item = &'a Encoded>) -> impl Iterator<Item = Self> {
        texts.into_iter().scan(Self::default(), |next, text| {
            let place = *next;
            *next = place.behind(text);
            Some(place)
        })
    }
}

/// The masks of a step's batch, or of the part of it that one worker has.
#[derive(Clone, Debug)]
pub(crate) struct Masking {
    pub(crate) noise: Noise,
    /// Rows of the whole batch that each of the texts has where every token has a row.
    tokens: Vec<Range<u32>>,
    /// The same where only each prompt's mask has a row.
    prompts: Vec<Range<u32>>,
}

impl Masking {
    pub(crate) fn new<'a>(
        noise: Noise,
        texts: impl Iterator<Item = &'a Encoded>,
        places: &[Place],
    ) -> Self {
        let spans = texts.zip(places).map(|(text, &place)| {
            let end = place.behind(text);
            (place.token..end.token, place.prompt..end.prompt)
        });
        let (tokens, prompts) = spans.unzip();
        Self {
            noise,
            tokens,
            prompts,
        }
    }

    /// The rows of the whole batch that a mask of so many rows is for.
    fn rows(&self, rows: usize) -> &[Range<u32>] {
        let count = |spans: &[Range<u32>]| spans.iter().map(ExactSizeIterator::len).sum::<usize>();
        match rows == count(&self.prompts) {
            true => &self.prompts,
            false => &self.tokens,
        }
    }
}

/// Draws the masks of one step.
#[derive(Debug)]
pub(crate) struct Dropout {
    probability: f32,
    masking: Masking,
    rng: ChaCha8Rng,
    /// Masks drawn so far. A model asks for them in one order, so that each of its calls of a
    /// module has a stream of its own.
    drawn: AtomicU32,
}

impl Dropout {
    /// Masks that leave each value out with `probability`, from 0 to below 1.
    pub(crate) fn new(probability: f32, masking: Masking) -> Self {
        let noise = masking.noise;
        Self {
            probability,
            rng: generator(noise.seed, Purpose::Dropout, noise.index),
            masking,
            drawn: AtomicU32::new(0),
        }
    }

    /// The next mask: 0 for what is left out, 1 / (1 − probability) for the rest, so that the
    /// mean stays. A row's is the same whichever rows are beside it.
    ///
    /// # Shapes
    /// (rows, width)
    pub(crate) fn mask(&self, rows: usize, width: usize) -> Result<Tensor> {
        let call = self.drawn.fetch_add(1, Ordering::Relaxed);
        let mut rng = self.rng.clone();
        rng.set_stream(u64::from(self.masking.noise.step) << 32 | u64::from(call));
        let limit = (f64::from(self.probability) * 2f64.powi(32)) as u64;
        let kept = 1.0 / (1.0 - self.probability);
        let mut values = Vec::with_capacity(rows * width);
        for span in self.masking.rows(rows) {
            rng.set_word_pos(u128::from(span.start) * width as u128);
            let draw = |_| match u64::from(rng.next_u32()) < limit {
                true => 0.0,
                false => kept,
            };
            values.extend((0..span.len() * width).map(draw));
        }
        Ok(Tensor::from_vec(values, (rows, width), &Device::Cpu)?)
    }
}

#[cfg(test)]
impl Masking {
    /// Masks of a batch of one prompt with so many tokens.
    pub(crate) fn of_rows(noise: Noise, rows: u32) -> Self {
        Self {
            noise,
            tokens: std::iter::once(0..rows).collect(),
            prompts: std::iter::once(0..1).collect(),
        }
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
        let dropout = |noise| Dropout::new(0.3, Masking::of_rows(noise, 50));
        let first = |noise| values(&dropout(noise));
        assert_eq!(first(noise), first(noise));
        for other in [
            Noise { seed: 4, ..noise },
            Noise { index: 2, ..noise },
            Noise { step: 5, ..noise },
        ] {
            assert_ne!(first(noise), first(other));
        }
        let dropout = dropout(noise);
        assert_ne!(values(&dropout), values(&dropout));
    }

    #[test]
    fn mean_of_many_masks_is_one() {
        for probability in [0.0, 0.1, 0.5, 0.9] {
            let masking = Masking::of_rows(Noise::default(), 50);
            let dropout = Dropout::new(probability, masking);
            let all: Vec<f32> = (0..50).flat_map(|_| values(&dropout)).collect();
            let kept = 1.0 / (1.0 - probability);
            assert!(all.iter().all(|value| *value == 0.0 || *value == kept));
            let mean = all.iter().sum::<f32>() / all.len() as f32;
            // Four standard errors of the mean of 100,000 draws.
            let error = 4.0 * (probability / (1.0 - probability) / 1e5).sqrt();
            assert!((mean - 1.0).abs() <= error + 1e-4, "{probability}: {mean}");
        }
    }
    #[test]
    fn a_row_keeps_its_mask_in_a_part() {
        let masking = |tokens: &[Range<u32>], prompts: &[Range<u32>]| Masking {
            noise: Noise::default(),
            tokens: tokens.to_vec(),
            prompts: prompts.to_vec(),
        };
        let draw = |masking: Masking, rows| -> Vec<Vec<f32>> {
            let mask = Dropout::new(0.5, masking).mask(rows, 40);
            mask.unwrap().to_vec2().unwrap()
        };
        let whole = || masking(&[0..4, 4..9, 9..12], &[0..1, 1..2, 2..3]);
        let part = || masking(&[0..4, 9..12], &[0..1, 2..3]);
        let (all, some) = (draw(whole(), 12), draw(part(), 7));
        assert_eq!(some, [&all[..4], &all[9..]].concat());
        let (all, some) = (draw(whole(), 3), draw(part(), 2));
        assert_eq!(some, [&all[..1], &all[2..]].concat());
    }
}
