//! Frames: JSON text for control, a JSON header and a safetensors body for adapters.
//!
//! Every length is compared with its limit before anything is allocated for it.

mod body;
mod known;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::adapter::{Adapter, AdapterError};
use crate::error::{Blame, Fault, FaultCode};

pub(crate) use self::body::decode_adapters;
pub use self::body::{Tensor, Type, decode_adapter, encode_adapter, encode_tensors};
pub use self::known::KnownBody;

/// Most bytes of a JSON text frame from a client.
pub const CLIENT_TEXT_LIMIT: usize = 8 * 1024;
/// Most bytes of a JSON text frame from a server.
pub const SERVER_TEXT_LIMIT: usize = 1024 * 1024;
/// Most bytes of a binary frame's JSON header.
pub const HEADER_LIMIT: usize = 4 * 1024;
/// Most bytes of a binary frame.
pub const FRAME_LIMIT: usize = 64 * 1024 * 1024;
/// Most matrices in an adapter.
pub const MATRICES_LIMIT: usize = 4096;

/// Why bytes are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More bytes than this kind of frame may have.
    #[error("{what} of {got} bytes, expected at most {limit}")]
    Oversized {
        /// The frame or part.
        what: &'static str,
        /// Its limit.
        limit: usize,
        /// Its size.
        got: usize,
    },
    /// Fewer bytes than the frame announces.
    #[error("binary frame ends after {got} bytes, expected {expected}")]
    Truncated {
        /// Bytes announced.
        expected: usize,
        /// Bytes there.
        got: usize,
    },
    /// JSON that is not one of the protocol's messages.
    #[error("not a message of this protocol: {0}")]
    Json(String),
    /// A body that is not safetensors with matrices of the protocol's types.
    #[error("body: {0}")]
    Body(String),
}

/// A text frame.
pub fn encode_text<T: Serialize>(message: &T) -> String {
    // Only maps with keys that are not strings and failing Serialize impls can fail here; the
    // protocol has neither, which its round-trip tests show.
    serde_json::to_string(message).unwrap_or_default()
}

/// Reads a text frame of at most `limit` bytes.
///
/// # Errors
/// [`CodecError`] for anything that is not a `T`.
pub fn decode_text<T: DeserializeOwned>(text: &str, limit: usize) -> Result<T, CodecError> {
    within("text frame", text.len(), limit)?;
    serde_json::from_str(text).map_err(|error| CodecError::Json(error.to_string()))
}

/// A binary frame: header length (u32, little-endian), JSON header, safetensors body.
pub fn encode_binary<T: Serialize>(header: &T, adapter: &Adapter) -> Vec<u8> {
    let mut frame = encode_frame(header, &[]);
    body::append_adapter(adapter, &mut frame);
    frame
}

/// A binary frame with a body that is encoded already.
pub fn encode_frame<T: Serialize>(header: &T, body: &[u8]) -> Vec<u8> {
    let header = encode_text(header);
    let mut frame = Vec::with_capacity(4 + header.len() + body.len());
    frame.extend((header.len() as u32).to_le_bytes());
    frame.extend(header.as_bytes());
    frame.extend(body);
    frame
}

/// Reads a binary frame of at most `limit` bytes.
///
/// # Errors
/// [`CodecError`] for anything that is not a `T` and an adapter.
pub fn decode_binary<T: DeserializeOwned>(
    frame: &[u8],
    limit: usize,
) -> Result<(T, Adapter), CodecError> {
    let (header, body) = split(frame, limit)?;
    Ok((header, decode_adapter(body)?))
}

/// [`decode_binary`], faster where the body is the one that is expected.
///
/// # Errors
/// The same.
pub fn decode_known<T: DeserializeOwned>(
    frame: &[u8],
    limit: usize,
    expected: &KnownBody,
) -> Result<(T, Adapter), CodecError> {
    let (header, body) = split(frame, limit)?;
    let adapter = match expected.decode(body) {
        Some(adapter) => adapter,
        None => decode_adapter(body)?,
    };
    Ok((header, adapter))
}

/// Header and body of a binary frame.
fn split<T: DeserializeOwned>(frame: &[u8], limit: usize) -> Result<(T, &[u8]), CodecError> {
    within("binary frame", frame.len(), limit)?;
    let truncated = |expected| CodecError::Truncated {
        expected,
        got: frame.len(),
    };
    let (length, rest) = frame.split_first_chunk::<4>().ok_or(truncated(4))?;
    let length = u32::from_le_bytes(*length) as usize;
    within("header", length, HEADER_LIMIT)?;
    let (header, body) = rest.split_at_checked(length).ok_or(truncated(4 + length))?;
    let header = serde_json::from_slice(header).map_err(|e| CodecError::Json(e.to_string()))?;
    Ok((header, body))
}

fn within(what: &'static str, got: usize, limit: usize) -> Result<(), CodecError> {
    if got <= limit {
        Ok(())
    } else {
        Err(CodecError::Oversized { what, limit, got })
    }
}

impl From<CodecError> for Fault {
    fn from(error: CodecError) -> Self {
        let code = match error {
            CodecError::Oversized { .. } => FaultCode::Oversized,
            _ => FaultCode::Malformed,
        };
        Self {
            code,
            blame: Blame::Client,
            message: format!("The message could not be read: {error}."),
            mend: "Reload the page; if it happens again, the client is at fault.".into(),
        }
    }
}

impl From<AdapterError> for Fault {
    fn from(error: AdapterError) -> Self {
        let code = match error {
            AdapterError::NonFinite { .. } => FaultCode::NonFinite,
            _ => FaultCode::Misshapen,
        };
        Self {
            code,
            blame: Blame::Client,
            message: format!("The update was left out: {error}."),
            mend: "Go on with the newest model; a lower learning rate may help.".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adapter::Matrix;
    use crate::protocol::{ClientHeader, ClientMessage, ServerHeader, ServerMessage};

    pub(super) fn any_adapter() -> impl Strategy<Value = Adapter> {
        let matrix = (1usize..5, 1usize..5).prop_flat_map(|(rows, columns)| {
            prop::collection::vec(-1e6f32..1e6, rows * columns).prop_map(move |values| Matrix {
                rows,
                columns,
                values,
            })
        });
        prop::collection::btree_map("[a-z.]{1,12}", matrix, 0..5)
            .prop_map(|matrices| Adapter { matrices })
    }

    proptest! {
        #[test]
        fn binary_frame_round_trip(adapter in any_adapter(), round: u32) {
            let header = ServerHeader::Global { round, hash: adapter.hash() };
            let frame = encode_binary(&header, &adapter);
            let back: (ServerHeader, Adapter) = decode_binary(&frame, FRAME_LIMIT).unwrap();
            prop_assert_eq!(back, (header, adapter));
        }

        #[test]
        fn decoder_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_binary::<ClientHeader>(&bytes, FRAME_LIMIT);
            let _ = decode_adapter(&bytes);
            let text = String::from_utf8_lossy(&bytes);
            let _ = decode_text::<ClientMessage>(&text, CLIENT_TEXT_LIMIT);
            let _ = decode_text::<ServerMessage>(&text, SERVER_TEXT_LIMIT);
        }

        #[test]
        fn damaged_frame_never_panics(
            adapter in any_adapter(), position: prop::sample::Index, value: u8, cut: prop::sample::Index
        ) {
            let mut frame = encode_binary(&ServerHeader::Global { round: 1, hash: adapter.hash() }, &adapter);
            let position = position.index(frame.len());
            frame[position] = value;
            let _ = decode_binary::<ServerHeader>(&frame, FRAME_LIMIT);
            frame.truncate(cut.index(frame.len()));
            prop_assert!(decode_binary::<ServerHeader>(&frame, FRAME_LIMIT).is_err());
        }
    }

    #[test]
    fn lying_lengths_are_refused_before_allocation() {
        let oversized = |error| matches!(error, CodecError::Oversized { .. });
        assert!(oversized(
            decode_binary::<ServerHeader>(&[0xff; 64], FRAME_LIMIT).unwrap_err()
        ));
        assert!(oversized(
            decode_binary::<ServerHeader>(&[0; 64], 63).unwrap_err()
        ));
        assert!(oversized(
            decode_text::<ClientMessage>("\"long\"", 5).unwrap_err()
        ));
        let mut body = vec![0xff; 8];
        body.extend(b"{}");
        assert!(matches!(
            decode_adapter(&body).unwrap_err(),
            CodecError::Body(_)
        ));
    }
}
