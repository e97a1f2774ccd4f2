//! Adding one update to a round's sum, against copying as many bytes.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use fl_core::adapter::{Adapter, AdapterHash, Matrix};
use fl_core::aggregate::Aggregator;
use fl_core::codec::{FRAME_LIMIT, KnownBody, decode_known, encode_binary};
use fl_core::protocol::{ClientHeader, ClientId, Report};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::room;

/// Matrices of LoRA beside query and value of the bundled model's four layers.
const MATRICES: usize = 16;
/// Rows and columns of each.
const SHAPE: (usize, usize) = (16, 256);
/// Updates of 256 KiB each: too many for the processor's cache, as when they come from a network.
const UPDATES: u32 = 512;

/// Bytes of updates a second, medians.
#[derive(Clone, Copy, Debug)]
pub struct Speeds {
    /// Copied from memory to memory.
    pub copy: f64,
    /// From a frame's bytes into the sum: decoded, checked and added.
    pub aggregate: f64,
    /// Decoded updates checked and added.
    pub add: f64,
}

impl Speeds {
    /// The whole way's share of the copy's speed.
    pub fn share(&self) -> f64 {
        self.aggregate / self.copy
    }
}

/// Copies and adds, to and fro, so that noise of the machine hits both.
pub fn measure(rounds: u32) -> Speeds {
    let mut rng = SmallRng::seed_from_u64(1);
    let frames: Vec<Vec<u8>> = (0..UPDATES).map(|_| frame(&adapter(&mut rng))).collect();
    let body = KnownBody::of(adapter(&mut rng).layout());
    let bytes = (MATRICES * SHAPE.0 * SHAPE.1 * 4) as f64 * f64::from(UPDATES);
    let mut copies = frames.clone();
    let (mut copied, mut whole, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds.max(3) {
        let begun = Instant::now();
        for (copy, frame) in copies.iter_mut().zip(&frames) {
            copy.copy_from_slice(frame);
        }
        black_box(&copies);
        copied.push(bytes / begun.elapsed().as_secs_f64());
        let mut aggregator = aggregator(&mut rng);
        let begun = Instant::now();
        for (frame, client) in frames.iter().zip(1..) {
            add(&mut aggregator, &decoded(frame, &body), client);
        }
        black_box(&aggregator);
        whole.push(bytes / begun.elapsed().as_secs_f64());
        let adapters: Vec<Adapter> = frames.iter().map(|frame| decoded(frame, &body)).collect();
        let begun = Instant::now();
        for (adapter, client) in adapters.iter().zip(1..) {
            add(&mut aggregator, adapter, client);
        }
        black_box(&aggregator);
        added.push(bytes / begun.elapsed().as_secs_f64());
    }
    Speeds {
        copy: median(copied),
        aggregate: median(whole),
        add: median(added),
    }
}

fn adapter(rng: &mut SmallRng) -> Adapter {
    let mut matrix = || Matrix {
        rows: SHAPE.0,
        columns: SHAPE.1,
        values: (0..SHAPE.0 * SHAPE.1)
            .map(|_| rng.random::<f32>() - 0.5)
            .collect(),
    };
    let name = |place| format!("base_model.model.bert.encoder.layer.{place:02}.lora_A.weight");
    Adapter {
        matrices: (0..MATRICES).map(|place| (name(place), matrix())).collect(),
    }
}

fn aggregator(rng: &mut SmallRng) -> Aggregator {
    Aggregator::new(
        &room::settings(UPDATES, super::RANK),
        Arc::new(adapter(rng)),
        1,
    )
}

fn frame(adapter: &Adapter) -> Vec<u8> {
    let report = Report {
        round: 1,
        attempt: 1,
        base: AdapterHash([0; 32]),
        gold: 8,
        soft: 8,
        steps: 1,
        loss_first: 0.7,
        loss_last: 0.6,
        confidence: 0.8,
        work_ms: 1,
    };
    encode_binary(&ClientHeader::Report(report), adapter)
}

#[expect(clippy::expect_used, reason = "the frame was encoded here")]
fn decoded(frame: &[u8], body: &KnownBody) -> Adapter {
    let decoded = decode_known::<ClientHeader>(frame, FRAME_LIMIT, body);
    decoded.expect("a frame of ours is one").1
}

#[expect(clippy::expect_used, reason = "the update has the aggregator's layout")]
fn add(aggregator: &mut Aggregator, update: &Adapter, client: u32) {
    let added = aggregator.add(ClientId(client), update, 16.0);
    added.expect("an update of this layout is added");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
