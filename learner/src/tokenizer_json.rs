//! The parts of a `tokenizer.json`: those that split text, and what is known of the others.

mod checks;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Result;
use crate::error::{LearnerError, TOKENIZER};

/// Parts that put tokens together again, or cut or fill up their list: not used here.
const UNUSED: [&str; 3] = ["decoder", "padding", "truncation"];

/// The file's parts by their names.
pub(crate) struct TokenizerJson(Map<String, Value>);

impl TokenizerJson {
    /// # Errors
    /// [`LearnerError::File`] for what is no JSON object.
    pub(crate) fn new(json: &[u8]) -> Result<Self> {
        let parts = serde_json::from_slice(json);
        parts
            .map(Self)
            .map_err(|error| LearnerError::file(TOKENIZER, error))
    }

    /// The file without its [`UNUSED`] parts: what is not used need not be understood, and the
    /// tokenizers crate ends the program over decoders that it does not.
    pub(crate) fn splitting_parts(&self) -> Result<Vec<u8>> {
        let parts = self.0.iter();
        let used = parts.filter(|(name, _)| !UNUSED.contains(&name.as_str()));
        let used: BTreeMap<&String, &Value> = used.collect();
        serde_json::to_vec(&used).map_err(|error| LearnerError::file(TOKENIZER, error))
    }

    /// The id of a Unigram model's unknown token.
    pub(crate) fn unknown_id(&self) -> Option<u32> {
        let id = self.0.get("model")?.get("unk_id")?.as_u64()?;
        u32::try_from(id).ok()
    }

    /// Refuses what would end the program in the tokenizers crate.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(model) = self.0.get("model") {
            checks::merges(model)?;
            checks::pieces(model)?;
        }
        self.0
            .get("normalizer")
            .map_or(Ok(()), checks::replacements)
    }

    /// The tokens that the post-processor puts around a text, in their order.
    pub(crate) fn frame(&self) -> Vec<String> {
        self.0.get("post_processor").map(frame).unwrap_or_default()
    }
}

/// The tokens of one post-processor. Several stand in a sequence, of which one has tokens.
fn frame(processor: &Value) -> Vec<String> {
    let own = |field: &str| Some(processor.get(field)?.get(0)?.as_str()?.to_owned());
    match processor.get("type").and_then(Value::as_str) {
        Some("BertProcessing" | "RobertaProcessing") => {
            [own("cls"), own("sep")].into_iter().flatten().collect()
        }
        Some("TemplateProcessing") => {
            let token =
                |piece: &Value| Some(piece.get("SpecialToken")?.get("id")?.as_str()?.into());
            list(processor, "single").iter().filter_map(token).collect()
        }
        Some("Sequence") => list(processor, "processors")
            .iter()
            .flat_map(frame)
            .collect(),
        _ => Vec::new(),
    }
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    let list = value.get(field).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_parts_stay_as_they_are() {
        let json =
            br#"{"version": "1.0", "decoder": {"type": 7}, "model": {"vocab": [["a", -5.50]]}}"#;
        let kept = TokenizerJson::new(json).unwrap().splitting_parts().unwrap();
        // As values: the order of the keys depends on serde_json's features.
        let kept: serde_json::Value = serde_json::from_slice(&kept).unwrap();
        let expected = serde_json::json!({"model": {"vocab": [["a", -5.5]]}, "version": "1.0"});
        assert_eq!(kept, expected);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in [&b"[]"[..], b"", b"{", b"\xff"] {
            let words = TokenizerJson::new(json).err().unwrap().to_string();
            assert!(words.starts_with(TOKENIZER), "{words}");
        }
    }

    #[test]
    fn post_processors_tell_their_tokens() {
        let frame = |processor: &str| {
            let json = format!(r#"{{"post_processor": {processor}}}"#);
            TokenizerJson::new(json.as_bytes())
                .unwrap()
                .frame()
                .join(" ")
        };
        let bert = r#"{"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}"#;
        assert_eq!(frame(bert), "[CLS] [SEP]");
        let several =
            format!(r#"{{"type": "Sequence", "processors": [{{"type": "ByteLevel"}}, {bert}]}}"#);
        assert_eq!(frame(&several), "[CLS] [SEP]");
        let template = r#"{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}},
            {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "</s>"}}]}"#;
        assert_eq!(frame(template), "<s> </s>");
        for strange in ["null", "7", r#"{"type": "BertProcessing", "sep": 3}"#] {
            assert_eq!(frame(strange), "");
        }
    }
}
