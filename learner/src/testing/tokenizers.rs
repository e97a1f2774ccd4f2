//! Tokenizers of the kinds that BERT's is not, over the same words.

use serde_json::{Map, Value, json};

use super::WORDS;

/// Byte-level BPE with every byte and every word, with and without a blank before it; the special
/// tokens are start, padding, end, unknown and mask, which swallows the blank before it.
pub fn byte_level(special: [&str; 5]) -> Value {
    let words = WORDS.iter().filter(|word| !word.starts_with("##"));
    let words = words.flat_map(|word| [(*word).to_owned(), format!("Ġ{word}")]);
    let letters = bytes().into_iter().map(String::from);
    let special_tokens = special.iter().map(|token| (*token).to_owned());
    let mut vocabulary = Map::new();
    for token in special_tokens.chain(letters).chain(words) {
        let next = vocabulary.len();
        vocabulary.entry(token).or_insert_with(|| next.into());
    }
    let [start, _, end, _, _] = special;
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(special),
        "normalizer": null,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
        },
        "post_processor": {
            "type": "RobertaProcessing", "sep": [end, 2], "cls": [start, 0],
            "trim_offsets": true, "add_prefix_space": false,
        },
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": true, "vocab": vocabulary, "merges": [],
        },
    })
}

/// SentencePiece's Unigram as ALBERT has it.
pub fn unigram() -> Value {
    const SPECIAL: [&str; 5] = ["[CLS]", "<pad>", "[SEP]", "<unk>", "[MASK]"];
    let special = SPECIAL.map(|token| json!([token, 0.0]));
    let words = WORDS.iter().filter(|word| !word.starts_with("##"));
    let words = words.map(|word| json!([format!("▁{word}"), -3.0]));
    let letters = ('a'..='z').map(|letter| json!([letter.to_string(), -9.0]));
    let pieces = special.into_iter().chain(words).chain(letters);
    let vocabulary: Vec<Value> = pieces.chain([json!(["▁", -4.0])]).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(SPECIAL),
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "WhitespaceSplit" },
            { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true },
        ]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                { "SpecialToken": { "id": "[CLS]", "type_id": 0 } },
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "SpecialToken": { "id": "[SEP]", "type_id": 0 } },
            ],
            "pair": [
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "Sequence": { "id": "B", "type_id": 1 } },
            ],
            "special_tokens": {
                "[CLS]": { "id": "[CLS]", "ids": [0], "tokens": ["[CLS]"] },
                "[SEP]": { "id": "[SEP]", "ids": [2], "tokens": ["[SEP]"] },
            },
        },
        "decoder": null,
        "model": { "type": "Unigram", "unk_id": 3, "vocab": vocabulary, "byte_fallback": false },
    })
}

fn added(special: [&str; 5]) -> Vec<Value> {
    let token = |(id, token): (usize, &&str)| {
        json!({
            "id": id, "content": token, "single_word": false, "lstrip": id == 4,
            "rstrip": false, "normalized": false, "special": true,
        })
    };
    special.iter().enumerate().map(token).collect()
}

/// GPT-2's printable stand-ins for the 256 bytes.
fn bytes() -> Vec<char> {
    let plain = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let own = (0..256).filter(plain);
    let hidden = (0..256).filter(|byte| !plain(byte)).count() as u32;
    let others = 256..256 + hidden;
    own.chain(others).filter_map(char::from_u32).collect()
}
