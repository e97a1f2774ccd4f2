//! Random draws of the simulated world, each with a stream of its own.

use rand::RngExt as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// What a draw decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chance {
    /// Whether a client is away; the index is the client's and attempt's.
    Absence,
    /// Whether and when a client's connection breaks; the index is the client's and attempt's.
    Break,
    /// How fast a client is; the index is the client's.
    Speed,
    /// Which clients attack.
    Attackers,
    /// What a random update holds; the index is the client's and round's.
    Noise,
    /// When a client connects again.
    Connection,
}

/// The generator of one draw. Apart from all of `fl_core::random`, whose keys are smaller there.
pub(crate) fn stream(seed: u32, chance: Chance, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&seed.to_le_bytes());
    key[4] = 128 + chance as u8;
    key[8..16].copy_from_slice(&index.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// A standard normal number (Box and Muller 1958).
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    // 1 − u is above 0, where the logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_mean_zero_and_deviation_one() {
        let mut rng = stream(1, Chance::Speed, 0);
        let draws: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let square = draws.iter().map(|draw| draw * draw).sum::<f64>() / draws.len() as f64;
        assert!(
            mean.abs() < 0.03 && (square - 1.0).abs() < 0.05,
            "{mean} {square}"
        );
    }

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |chance, index| stream(3, chance, index).random::<u64>();
        assert_eq!(draw(Chance::Speed, 1), draw(Chance::Speed, 1));
        assert_ne!(draw(Chance::Speed, 1), draw(Chance::Speed, 2));
        assert_ne!(draw(Chance::Speed, 1), draw(Chance::Break, 1));
    }
}
