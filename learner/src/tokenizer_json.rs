//! The parts of a `tokenizer.json` that split text.

use serde_json::{Map, Value};

use crate::Result;
use crate::error::{LearnerError, TOKENIZER};

/// Parts that put tokens together again, or cut or fill up their list: not used here.
const UNUSED: [&str; 3] = ["decoder", "padding", "truncation"];

/// The file without its [`UNUSED`] parts: what is not used need not be understood, and the
/// tokenizers crate ends the program over decoders that it does not.
///
/// # Errors
/// [`LearnerError::File`] for what is no JSON object.
pub(crate) fn splitting_parts(json: &[u8]) -> Result<Vec<u8>> {
    let unreadable = |error| LearnerError::file(TOKENIZER, error);
    let mut parts: Map<String, Value> = serde_json::from_slice(json).map_err(unreadable)?;
    parts.retain(|name, _| !UNUSED.contains(&name.as_str()));
    serde_json::to_vec(&parts).map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parts_stay_as_they_are() {
        let json =
            br#"{"version": "1.0", "decoder": {"type": 7}, "model": {"vocab": [["a", -5.50]]}}"#;
        let kept = splitting_parts(json).unwrap();
        // As values: the order of the keys depends on serde_json's features.
        let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
        let expected = serde_json::json!({"model": {"vocab": [["a", -5.5]]}, "version": "1.0"});
        assert_eq!(kept, expected);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in [&b"[]"[..], b"", b"{", b"\xff"] {
            let words = splitting_parts(json).unwrap_err().to_string();
            assert!(words.starts_with(TOKENIZER), "{words}");
        }
    }
}
