//! What kind of model this is: which encoder and head it has, and where its decoder is.

use candle_core::Tensor;

use super::active::Active;
use super::encoder::Encoder;
use super::modern::{self, Modern};
use super::packed::Packed;
use super::parts::{Reader, TableId};
use super::paths::{self, Paths};
use crate::Result;
use crate::config::{Architecture, Config, ModernBert};
use crate::error::LearnerError;

/// A model's encoder and head.
#[derive(Debug)]
pub(super) enum Body {
    PostNorm(Encoder),
    Modern(Modern),
}

/// How an architecture's layers are built.
enum Form<'c> {
    PostNorm(&'static Paths),
    Modern(&'c ModernBert),
}

/// Where the decoder's weights are.
pub(super) struct DecoderNames {
    pub(super) path: &'static str,
    /// The bias, by its names in files of different ages; none at all for no bias.
    pub(super) biases: &'static [&'static str],
}

impl Architecture {
    fn form(&self) -> Form<'_> {
        match self {
            Self::Bert => Form::PostNorm(&paths::BERT),
            Self::Roberta(_) => Form::PostNorm(&paths::ROBERTA),
            Self::DistilBert => Form::PostNorm(&paths::DISTILBERT),
            Self::Albert { .. } => Form::PostNorm(&paths::ALBERT),
            Self::Electra => Form::PostNorm(&paths::ELECTRA),
            Self::ModernBert(modern) => Form::Modern(modern),
        }
    }

    /// What models saved without their head lack in front of every name.
    pub(super) fn prefix(&self) -> &'static str {
        match self.form() {
            Form::PostNorm(paths) => paths.prefix,
            Form::Modern(_) => modern::PREFIX,
        }
    }

    /// The first tensor of the head that fills in masks.
    fn head(&self) -> &'static str {
        match self.form() {
            Form::PostNorm(paths) => paths.transform,
            Form::Modern(_) => modern::DENSE,
        }
    }

    pub(super) fn decoder(&self) -> DecoderNames {
        let (path, biases) = match self.form() {
            Form::PostNorm(paths) => (paths.decoder, paths.biases),
            Form::Modern(modern) if modern.decoder_bias => (modern::DECODER, modern::DECODER_BIAS),
            Form::Modern(_) => (modern::DECODER, &[][..]),
        };
        DecoderNames { path, biases }
    }
}

impl Body {
    /// The encoder and head, unless the weights lack the head.
    pub(super) fn read(config: &Config, reader: &mut Reader<'_, '_>) -> Result<Self> {
        let tensor = format!("{}.weight", config.architecture.head());
        if !reader.weights.has(&tensor) {
            return Err(LearnerError::MissingHead {
                file: reader.weights.file(),
                model_type: config.architecture.name(),
                tensor,
                expected: vec![config.embedding_size, config.hidden_size],
            });
        }
        match config.architecture.form() {
            Form::PostNorm(paths) => Encoder::read(config, paths, reader).map(Self::PostNorm),
            Form::Modern(modern) => Modern::read(config, modern, reader).map(Self::Modern),
        }
    }

    /// The table that token ids are looked up in.
    pub(super) fn words(&self) -> TableId {
        match self {
            Self::PostNorm(encoder) => encoder.words,
            Self::Modern(modern) => modern.words,
        }
    }

    /// What goes into the layer `end`, which is not behind the last: (N, H).
    pub(super) fn before(&self, end: usize, packed: &Packed, active: &Active) -> Result<Tensor> {
        match self {
            Self::PostNorm(encoder) => encoder.before(end, packed, active),
            Self::Modern(modern) => modern.before(end, packed, active),
        }
    }

    /// What the decoder is asked with, at each prompt's mask, from what goes into the layer
    /// `start`: (N, H) -> (B, E), E the embeddings' width.
    pub(super) fn after(
        &self,
        start: usize,
        x: Tensor,
        packed: &Packed,
        active: &Active,
    ) -> Result<Tensor> {
        match self {
            Self::PostNorm(encoder) => encoder.after(start, x, packed, active),
            Self::Modern(modern) => modern.after(start, x, packed, active),
        }
    }
}
