//! Frames that are no good update, one kind after the other.

use fl_core::adapter::Adapter;
use fl_core::codec::encode_binary;
use fl_core::protocol::{ClientHeader, Report, WorkOrder};
use fl_core::session::Global;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio_websockets::Message;

/// A bad answer of this client to this order; the same for the same seed.
pub fn frame(order: &WorkOrder, global: &Global, seed: u64, client: u32) -> Message {
    let place = u64::from(client) << 32 | u64::from(order.round);
    let mut rng = SmallRng::seed_from_u64(!seed ^ place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let update = || (*global.adapter).clone();
    match rng.random_range(0..6) {
        0 => Message::text(r#"{"type":"ready","gold":-1"#.to_owned()),
        1 => {
            let noise: Vec<u8> = (0..256).map(|_| rng.random()).collect();
            Message::binary(noise)
        }
        // Cut.
        2 => {
            let mut frame = report(order, &update());
            frame.truncate(frame.len() / 2);
            Message::binary(frame)
        }
        // A flipped bit in the header or in the description of the matrices.
        3 => {
            let mut frame = report(order, &update());
            let place = rng.random_range(4..frame.len().min(300));
            frame[place] ^= 1 << rng.random_range(0..8);
            Message::binary(frame)
        }
        4 => {
            let mut update = update();
            for matrix in update.matrices.values_mut() {
                matrix.values.fill(f32::NAN);
            }
            Message::binary(report(order, &update))
        }
        _ => {
            let mut update = update();
            update.matrices.pop_last();
            Message::binary(report(order, &update))
        }
    }
}

fn report(order: &WorkOrder, update: &Adapter) -> Vec<u8> {
    let report = Report {
        round: order.round,
        attempt: order.attempt,
        base: order.base,
        gold: 1,
        soft: 0,
        steps: 1,
        loss_first: 0.7,
        loss_last: 0.6,
        confidence: 0.0,
        work_ms: 0,
    };
    encode_binary(&ClientHeader::Report(report), update)
}
