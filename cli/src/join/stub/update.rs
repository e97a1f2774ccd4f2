//! Made-up updates: the right layout and finite values, without any learning.

use std::iter::zip;
use std::sync::LazyLock;

use fl_core::adapter::{Adapter, Matrix};
use fl_core::protocol::WorkOrder;
use fl_core::session::WorkResult;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

/// Most that a value moves in one round.
const STEP: f32 = 1e-3;
/// Labelled texts that a stub says it has.
pub const GOLD: u32 = 8;
/// Unlabelled texts that a stub says it has.
pub const UNLABELLED: u32 = 32;

/// Moves of values, drawn once: drawing as many for each update would take longer than all else that
/// a stub does. Updates read them from different places on.
static MOVES: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let mut rng = SmallRng::seed_from_u64(0);
    let mut draw = || (rng.random::<f32>() - 0.5) * (2.0 * STEP);
    (0..MOVES_DRAWN).map(|_| draw()).collect()
});
/// 256 KiB, which stay in the processor's cache.
const MOVES_DRAWN: usize = 1 << 16;

/// An update of this client on this order: the same for the same seed.
pub fn of(base: &Adapter, order: &WorkOrder, seed: u64, client: u32) -> (WorkResult, Adapter) {
    let place = u64::from(client) << 32 | u64::from(order.round);
    let mut rng = SmallRng::seed_from_u64(seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let result = WorkResult {
        // Unequal clients: their updates weigh differently.
        gold: rng.random_range(1..=GOLD),
        soft: rng.random_range(0..=UNLABELLED),
        steps: 1,
        loss_first: 0.7,
        loss_last: 0.6,
        confidence: 0.8,
        work_ms: 0,
    };
    let mut moved = |matrix: &Matrix| {
        let mut values = Vec::with_capacity(matrix.values.len());
        for piece in matrix.values.chunks(MOVES_DRAWN / 2) {
            let from = rng.random_range(0..MOVES_DRAWN / 2);
            values.extend(zip(piece, &MOVES[from..]).map(|(value, step)| value + step));
        }
        Matrix { values, ..*matrix }
    };
    let matrices = base.matrices.iter();
    let update = Adapter {
        matrices: matrices
            .map(|(name, matrix)| (name.clone(), moved(matrix)))
            .collect(),
    };
    (result, update)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_fit_their_base_and_follow_the_seed() {
        let matrix = Matrix::zeros(3, 4);
        let base = Adapter {
            matrices: [("w".to_owned(), matrix)].into(),
        };
        let order = |round| WorkOrder {
            round,
            attempt: 1,
            base: base.hash(),
            deadline_ms: 1000,
        };
        let first = of(&base, &order(1), 7, 1);
        base.layout().check(&first.1).unwrap();
        assert_ne!(first.1, base);
        let moves = first.1.matrices["w"].values.iter();
        assert!(moves.clone().all(|value| value.abs() <= STEP));
        assert_eq!(first, of(&base, &order(1), 7, 1));
        for other in [
            of(&base, &order(2), 7, 1),
            of(&base, &order(1), 7, 2),
            of(&base, &order(1), 8, 1),
        ] {
            assert_ne!(first.1, other.1);
        }
    }
}
