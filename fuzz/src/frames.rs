//! Frames of both sides: what is read can be written and read again, with a known body or without.

use std::fmt::Debug;

use fl_core::adapter::Adapter;
use fl_core::codec::{
    CLIENT_TEXT_LIMIT, CodecError, FRAME_LIMIT, KnownBody, SERVER_TEXT_LIMIT, decode_binary,
    decode_known, decode_text, encode_binary, encode_text,
};
use fl_core::protocol::{ClientHeader, ClientMessage, ServerHeader, ServerMessage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::memory::bounded;
use crate::same::{assert_filled, assert_same};
use crate::seeds;

/// Bytes that a text may take for each of its own: small values of JSON become large ones of Rust.
const TEXT: usize = 512;
/// The same of a frame, whose description of matrices is JSON too.
const BINARY: usize = 256;

/// What a server reads.
pub fn of_clients(bytes: &[u8]) {
    text::<ClientMessage>(bytes, CLIENT_TEXT_LIMIT);
    binary::<ClientHeader>(bytes);
}

/// What a client reads.
pub fn of_servers(bytes: &[u8]) {
    text::<ServerMessage>(bytes, SERVER_TEXT_LIMIT);
    binary::<ServerHeader>(bytes);
}

fn text<M: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8], limit: usize) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(message) = bounded(text.len(), TEXT, || decode_text::<M>(text, limit)) else {
        return;
    };
    assert!(text.len() <= limit);
    let narrower = decode_text::<M>(text, text.len() - 1);
    assert!(matches!(narrower, Err(CodecError::Oversized { .. })));
    if fits_in_f32(text) {
        let written = encode_text(&message);
        let again = decode_text::<M>(&written, usize::MAX);
        assert_eq!(again.as_ref(), Ok(&message), "{written}");
    }
}

/// JSON has numbers beyond f32, which become infinite there, and no word for those.
fn fits_in_f32(text: &str) -> bool {
    fn fits(value: &Value) -> bool {
        match value {
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(f64::INFINITY);
                (number as f32).is_finite()
            }
            Value::Array(items) => items.iter().all(fits),
            Value::Object(fields) => fields.values().all(fits),
            Value::Null | Value::Bool(_) | Value::String(_) => true,
        }
    }
    serde_json::from_str(text).is_ok_and(|value| fits(&value))
}

fn binary<H: Serialize + DeserializeOwned + PartialEq + Debug>(frame: &[u8]) {
    let read = bounded(frame.len(), BINARY, || {
        decode_binary::<H>(frame, FRAME_LIMIT)
    });
    let known = |layout| {
        let body = KnownBody::of(layout);
        let known = decode_known::<H>(frame, FRAME_LIMIT, &body);
        assert_alike(&read, &known);
    };
    known(seeds::adapter().layout());
    let Ok((header, adapter)) = &read else { return };
    known(adapter.layout());
    assert_filled(adapter);
    let written = encode_binary(header, adapter);
    match decode_binary::<H>(&written, usize::MAX) {
        Ok((_, again)) => assert_same(adapter, &again),
        // A number beyond f32 in the header.
        Err(CodecError::Json(_)) => assert!(!fits_in_f32(&header_of(frame))),
        Err(error) => panic!("a frame of ours is none: {error}"),
    }
    let shorter = &frame[..frame.len() - 1];
    assert!(decode_binary::<H>(shorter, FRAME_LIMIT).is_err());
    let narrower = decode_binary::<H>(frame, frame.len() - 1);
    assert!(matches!(narrower, Err(CodecError::Oversized { .. })));
}

fn header_of(frame: &[u8]) -> String {
    let (length, rest) = frame.split_first_chunk::<4>().unwrap();
    let header = &rest[..u32::from_le_bytes(*length) as usize];
    String::from_utf8(header.to_vec()).unwrap()
}

/// One way of reading gives what the other gives: the same header and values, or the same error.
fn assert_alike<H: PartialEq + Debug>(
    one: &Result<(H, Adapter), CodecError>,
    other: &Result<(H, Adapter), CodecError>,
) {
    match (one, other) {
        (Ok((header, adapter)), Ok((other_header, other_adapter))) => {
            assert_eq!(header, other_header);
            assert_same(adapter, other_adapter);
        }
        (Err(error), Err(other)) => assert_eq!(error, other),
        _ => panic!("{one:?} without a known body, {other:?} with one"),
    }
}
