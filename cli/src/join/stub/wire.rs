//! A WebSocket message as it lies on the wire, for stubs that spoil it there.

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Bytes at a message's beginning of which [`flipped`] spoils one: the frame's head, the report, and
/// the description of its matrices. Beyond are values, of which a flipped bit may make a huge one:
/// an update that is well-formed counts, whatever it does to the adapter.
const HEAD: usize = 300;

/// A masked binary message of one frame (RFC 6455, section 5.2), with a mask of zeros.
pub fn message(payload: &[u8]) -> Vec<u8> {
    const FINAL_BINARY: u8 = 0x82;
    const MASKED: u8 = 0x80;
    let mut wire = vec![FINAL_BINARY];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => wire.push(MASKED | length),
        (_, Ok(length)) => {
            wire.push(MASKED | 126);
            wire.extend(length.to_be_bytes());
        }
        _ => {
            wire.push(MASKED | 127);
            wire.extend((payload.len() as u64).to_be_bytes());
        }
    }
    wire.extend([0; 4]);
    wire.extend(payload);
    wire
}

/// The message without its end, at least a byte of it.
pub fn cut(payload: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let mut wire = message(payload);
    wire.truncate(rng.random_range(1..wire.len()));
    wire
}

/// The message with one bit turned round near its beginning.
pub fn flipped(payload: &[u8], rng: &mut SmallRng) -> Vec<u8> {
    let mut wire = message(payload);
    let place = rng.random_range(0..wire.len().min(HEAD));
    wire[place] ^= 1 << rng.random_range(0..8);
    wire
}

/// Decides how this client spoils its message of this round.
pub fn generator(seed: u64, client: u32, round: u32) -> SmallRng {
    let place = u64::from(client) << 32 | u64::from(round);
    SmallRng::seed_from_u64(seed.rotate_left(17) ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_as_the_standard_says() {
        assert_eq!(message(&[7; 3]), [0x82, 0x83, 0, 0, 0, 0, 7, 7, 7]);
        assert_eq!(message(&[7; 126])[..8], [0x82, 0xfe, 0, 126, 0, 0, 0, 0]);
        let long = message(&[7; 65_536]);
        assert_eq!(long[..14], [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(long.len(), 65_550);
    }

    #[test]
    fn spoilt_messages_follow_the_seed() {
        let payload = [1; 1000];
        let whole = message(&payload);
        let spoil = |seed| {
            let mut rng = generator(seed, 3, 5);
            (cut(&payload, &mut rng), flipped(&payload, &mut rng))
        };
        let (part, flipped) = spoil(1);
        assert!(!part.is_empty() && part.len() < whole.len() && whole.starts_with(&part));
        let pairs = whole.iter().zip(&flipped);
        let bits: u32 = pairs.map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((bits, flipped.len()), (1, whole.len()));
        assert_eq!((part, flipped), spoil(1));
        assert_ne!(spoil(1), spoil(2));
    }
}
