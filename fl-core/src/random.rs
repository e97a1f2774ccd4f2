//! Seeded randomness: every use has its own stream, so that none disturbs another.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial values of an adapter.
    Initialisation,
    /// Dealing texts to clients.
    Partition,
    /// Choosing the clients of a round; the index is the round's and attempt's.
    ClientSampling,
    /// Choosing soft-labelled texts; the index is the client's and round's.
    SoftLabels,
    /// Shuffling examples; the index is the client's and round's.
    Shuffle,
    /// Dropout in training; the index is the client's and round's, the stream the step's and
    /// call's.
    Dropout,
}

/// The generator for one purpose; `index` tells rounds or clients apart.
///
/// ChaCha8's values are the same on every platform and in every version.
pub fn generator(seed: u32, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&seed.to_le_bytes());
    key[4] = purpose as u8;
    key[8..16].copy_from_slice(&index.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// An index that tells apart both the clients and the rounds.
pub fn client_round(shard: u32, round: u32) -> u64 {
    u64::from(shard) << 32 | u64::from(round)
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, purpose, index| generator(seed, purpose, index).next_u64();
        let first = draw(1, Purpose::Shuffle, 2);
        assert_eq!(first, draw(1, Purpose::Shuffle, 2));
        assert_ne!(first, draw(2, Purpose::Shuffle, 2));
        assert_ne!(first, draw(1, Purpose::Partition, 2));
        assert_ne!(first, draw(1, Purpose::Shuffle, 3));
    }
}
