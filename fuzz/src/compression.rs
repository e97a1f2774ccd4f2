//! Compressed updates: hostile bodies are restored to the room's layout or refused, and those that a
//! client packs come back within their bounds.

use fl_core::adapter::{Adapter, AdapterError};
use fl_core::codec::{Tensor, decode_adapter, encode_tensors};
use fl_core::compression::{Compression, Feedback};

use crate::memory::bounded;
use crate::same::assert_filled;
use crate::seeds;

/// Bytes that a body may take for each of its own until it is an update.
const EACH: usize = 256;
/// Values up to which the bounds of the compressions' errors are checked.
const LARGEST: f32 = 1000.0;
/// What sums and differences of f32 up to [`LARGEST`] may be wrong by.
const ROUNDING: f32 = 1e-3;

/// Which compression, its share, and a body or values.
pub fn any(bytes: &[u8]) {
    let Some((&[kind, share], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let compression = match kind % 4 {
        0 => Compression::F32,
        1 => Compression::F16,
        2 => Compression::Int8,
        _ => Compression::TopK {
            share: f32::from(share.max(1)) / 512.0,
        },
    };
    compression.check().unwrap();
    hostile(compression, rest);
    honest(compression, rest);
}

/// Whatever a body holds, an update that is taken has the room's layout.
fn hostile(compression: Compression, body: &[u8]) {
    let base = seeds::adapter();
    let Ok(body_read) = decode_adapter(body) else {
        return;
    };
    let restored = bounded(body.len(), EACH, || compression.restored(&body_read, &base));
    let Ok(update) = restored else { return };
    match compression {
        // Checked with the values, by the layout.
        Compression::F32 => assert_eq!(update.layout(), body_read.layout()),
        _ => assert_eq!(update.layout(), base.layout()),
    }
    assert_filled(&update);
}

/// Two updates of a client, the second with what the first left out.
fn honest(compression: Compression, values: &[u8]) {
    let chunks = values.as_chunks::<4>().0;
    let mut values = chunks.iter().map(|four| f32::from_le_bytes(*four));
    let mut draw = |mut adapter: Adapter| {
        let own = adapter.matrices.values_mut().flat_map(|m| &mut m.values);
        own.for_each(|value| *value = values.next().unwrap_or(0.0));
        adapter
    };
    let base = draw(seeds::adapter());
    let mut feedback = Feedback::default();
    for _ in 0..2 {
        let update = draw(base.clone());
        let (packed, next) = compression.packed(&update, &base, &feedback);
        let size = |tensor: &Tensor| tensor.matrix.values.len() * tensor.kind.bytes();
        let size: usize = packed.values().map(size).sum();
        assert_eq!(size, compression.bytes(&base.layout()));
        let body = decode_adapter(&encode_tensors(&packed)).unwrap();
        let is_small = small(&update) && small(&base) && small(feedback.left_out());
        let arrived = match compression.restored(&body, &base) {
            Ok(arrived) => arrived,
            // What is infinite, or becomes so, is refused; the client then keeps its feedback.
            Err(AdapterError::NonFinite { .. }) if !is_small => return,
            Err(error) => panic!("{compression:?}: {error}"),
        };
        assert_eq!(arrived.layout(), base.layout());
        assert_filled(&arrived);
        if is_small {
            within_bounds(compression, &update, &base, &arrived, [&feedback, &next]);
        }
        feedback = next;
    }
}

fn small(adapter: &Adapter) -> bool {
    let mut values = adapter.matrices.values().flat_map(|m| &m.values);
    values.all(|value| value.abs() <= LARGEST)
}

fn within_bounds(
    compression: Compression,
    update: &Adapter,
    base: &Adapter,
    arrived: &Adapter,
    [before, after]: [&Feedback; 2],
) {
    for (name, matrix) in &update.matrices {
        let left = |feedback: &Feedback, place: usize| {
            let matrix = feedback.left_out().matrices.get(name);
            matrix.map_or(0.0, |matrix| matrix.values[place])
        };
        for (place, &value) in matrix.values.iter().enumerate() {
            let (old, new) = (
                base.matrices[name].values[place],
                arrived.matrices[name].values[place],
            );
            let row = place / matrix.columns * matrix.columns;
            let row = row..row + matrix.columns;
            let pairs = matrix.values[row.clone()]
                .iter()
                .zip(&base.matrices[name].values[row]);
            let largest = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let (wanted, bound) = match compression {
                Compression::F32 => (value, 0.0),
                Compression::F16 => (value, (value - old).abs() / 2048.0),
                Compression::Int8 => (value, largest / 254.0),
                // What arrived and what is left out are together what was to be sent.
                Compression::TopK { .. } => (value + left(before, place) - left(after, place), 0.0),
            };
            let error = (wanted - new).abs();
            assert!(
                error <= bound + ROUNDING,
                "{compression:?}, {name}, value {place}: {new} arrived for {wanted}, of {old}"
            );
        }
    }
}
