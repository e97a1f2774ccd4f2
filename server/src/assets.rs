//! What the binary carries: the page, the default model, the texts.
//!
//! A debug build reads them from the checkout at run time, so that the page can be built anew
//! without the server.

use std::borrow::Cow;

use bytes::Bytes;
use rust_embed::{EmbeddedFile, RustEmbed};

/// The built page, `index.html` and what it loads; empty when it was not built.
#[derive(RustEmbed)]
#[folder = "../www/dist"]
#[allow_missing = true]
pub(crate) struct Page;

/// The default base model.
#[derive(RustEmbed)]
#[folder = "../models/default"]
#[include = "config.json"]
#[include = "tokenizer.json"]
#[include = "model.safetensors"]
#[allow_missing = true]
pub(crate) struct DefaultModel;

/// The texts, a folder for each corpus.
#[derive(RustEmbed)]
#[folder = "../corpora"]
#[include = "*/train.csv"]
#[include = "*/test.csv"]
#[allow_missing = true]
pub(crate) struct Corpora;

/// An embedded file's content, without a copy where the binary holds it.
pub(crate) fn content(file: EmbeddedFile) -> Bytes {
    match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    }
}
