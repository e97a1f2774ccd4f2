//! Bodies of frames, which are safetensors files of matrices.

use fl_core::codec::{FRAME_LIMIT, MATRICES_LIMIT, decode_adapter, encode_adapter};

use crate::memory::bounded;
use crate::same::{assert_filled, assert_same};

/// Bytes that a body may take for each of its own: its description is JSON, a value of one byte
/// becomes four.
const EACH: usize = 256;

/// Any bytes.
pub fn any(bytes: &[u8]) {
    let Ok(adapter) = bounded(bytes.len(), EACH, || decode_adapter(bytes)) else {
        return;
    };
    assert_filled(&adapter);
    assert!(adapter.matrices.len() <= MATRICES_LIMIT);
    assert!(adapter.layout().parameters() <= FRAME_LIMIT / 4);
    let again = decode_adapter(&encode_adapter(&adapter)).unwrap();
    assert_same(&adapter, &again);
    assert_eq!(adapter.hash(), again.hash());
    assert!(decode_adapter(&bytes[..bytes.len() - 1]).is_err());
}
