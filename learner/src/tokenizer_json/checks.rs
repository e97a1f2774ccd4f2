//! Refuses tokenizers that would end the program in the tokenizers crate: by a panic, or by a stack
//! that overflows, which nobody can catch in a browser.

use serde_json::Value;
use tokenizers::utils::SysRegex;

use super::list;
use crate::Result;
use crate::error::{LearnerError, TOKENIZER};

/// Most bytes of a token of a Unigram model, which is kept as a tree of that depth.
const PIECE_BYTES: usize = 1024;

/// Texts on which a pattern shows whether it matches nothing at all.
const PROBES: [&str; 4] = ["", "a", " a, b 1 ", "\u{2581}\n"];

/// Refuses merges of a BPE model that make no token: that they do is not checked there.
pub(super) fn merges(model: &Value) -> Result<()> {
    let prefix = model.get("continuing_subword_prefix");
    let prefix = prefix.and_then(Value::as_str).map_or(0, str::len);
    let tokens = model.get("vocab").and_then(Value::as_object);
    let makes_token = |merge: &Value| {
        let (first, second) = pair(merge)?;
        let whole = format!("{first}{}", second.get(prefix..)?);
        tokens?.contains_key(&whole).then_some(())
    };
    let mut merges = list(model, "merges").iter();
    match merges.find(|merge| makes_token(merge).is_none()) {
        None => Ok(()),
        Some(merge) => {
            let expected = "pairs that make a token of the vocabulary";
            let got: String = merge.to_string().chars().take(80).collect();
            Err(LearnerError::field(
                TOKENIZER,
                "model.merges",
                expected,
                got,
            ))
        }
    }
}

/// Refuses pieces of a Unigram model that are longer than any of use.
pub(super) fn pieces(model: &Value) -> Result<()> {
    let pieces = list(model, "vocab").iter();
    let lengths = pieces.filter_map(|piece| piece.get(0)?.as_str().map(str::len));
    match lengths.max() {
        Some(got) if got > PIECE_BYTES => {
            let expected = format!("tokens of at most {PIECE_BYTES} bytes");
            Err(LearnerError::field(TOKENIZER, "model.vocab", expected, got))
        }
        _ => Ok(()),
    }
}

/// Refuses replacements of nothing by something: the place of what follows would be lost.
pub(super) fn replacements(normalizer: &Value) -> Result<()> {
    if normalizer.get("type").and_then(Value::as_str) == Some("Replace") {
        let pattern = normalizer.get("pattern").unwrap_or(&Value::Null);
        if pattern.get("String").and_then(Value::as_str) == Some("") || matches_nothing(pattern) {
            let expected = "a pattern that matches at least one character";
            let field = "normalizer.pattern";
            return Err(LearnerError::field(TOKENIZER, field, expected, pattern));
        }
    }
    let mut parts = list(normalizer, "normalizers").iter();
    parts.try_for_each(replacements)
}

/// Whether a regular expression matches an empty part of one of the probes.
fn matches_nothing(pattern: &Value) -> bool {
    let regex = pattern.get("Regex").and_then(Value::as_str);
    let Some(Ok(regex)) = regex.map(SysRegex::new) else {
        return false;
    };
    let is_empty = |probe: &&str| regex.find_iter(probe).any(|(start, end)| start == end);
    PROBES.iter().any(is_empty)
}

/// The two tokens of a merge, which older files write as one string.
fn pair(merge: &Value) -> Option<(&str, &str)> {
    match merge {
        Value::String(both) => both.split_once(' '),
        other => match &other.as_array()?[..] {
            [first, second] => Some((first.as_str()?, second.as_str()?)),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::tokenizer_json::TokenizerJson;

    fn check(json: &str) -> crate::Result<()> {
        TokenizerJson::new(json.as_bytes()).unwrap().check()
    }

    #[test]
    fn merges_must_make_tokens() {
        let with = |merges: &str, prefix: &str| {
            let json = format!(
                r###"{{"model": {{"vocab": {{"a": 0, "é": 1, "aé": 2, "##b": 3, "ab": 4}},
                "continuing_subword_prefix": {prefix}, "merges": {merges}}}}}"###
            );
            check(&json)
        };
        assert!(with(r#"["a é"]"#, "null").is_ok());
        assert!(with(r#"[["a", "é"]]"#, r#""""#).is_ok());
        assert!(with(r###"["a ##b"]"###, r###""##""###).is_ok());
        let wrong = [
            (r#"["é a"]"#, "null"),
            (r#"["a"]"#, "null"),
            (r#"[["a", "é", "a"]]"#, "null"),
            (r#"["a é"]"#, r#""-""#),
            (r#"["a é"]"#, r#""long""#),
            ("[7]", "null"),
        ];
        for (merges, prefix) in wrong {
            let words = with(merges, prefix).unwrap_err().to_string();
            assert!(words.contains("model.merges: expected pairs"), "{words}");
        }
    }

    #[test]
    fn pieces_must_not_be_long() {
        let with =
            |piece: &str| check(&format!(r#"{{"model": {{"vocab": [["{piece}", -1.5]]}}}}"#));
        assert!(with(&"x".repeat(1024)).is_ok());
        let words = with(&"x".repeat(1025)).unwrap_err().to_string();
        assert!(words.contains("at most 1024 bytes, got 1025"), "{words}");
    }

    #[test]
    fn replacements_must_replace_something() {
        let with = |pattern: &str| {
            check(&format!(
                r#"{{"normalizer": {{"type": "Sequence", "normalizers": [
                {{"type": "Lowercase"}}, {{"type": "Replace", "pattern": {pattern}}}]}}}}"#
            ))
        };
        for right in [r#"{"String": "``"}"#, r#"{"Regex": " {2,}"}"#] {
            assert!(with(right).is_ok());
        }
        for wrong in [
            r#"{"String": ""}"#,
            r#"{"Regex": "x*"}"#,
            r#"{"Regex": "$"}"#,
            r#"{"Regex": "\\b"}"#,
        ] {
            let words = with(wrong).unwrap_err().to_string();
            assert!(words.contains("normalizer.pattern: expected"), "{words}");
        }
    }
}
