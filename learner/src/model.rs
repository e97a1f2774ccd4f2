//! The frozen masked language model, asked at the mask only.

mod active;
mod body;
mod encoder;
mod info;
mod modern;
mod names;
mod packed;
mod parts;
mod paths;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;

use crate::Result;
use crate::config::Config;
use crate::error::WEIGHTS;
use crate::prompt::Cloze;
use crate::tokenize::Vocabulary;
use crate::weights::{WeightFile, Weights};
use body::Body;
use packed::Packed;
use parts::{Parts, Reader};

pub(crate) use active::{Active, Norm, Projection, Source, Table};
pub use info::{LoraInfo, ModelInfo};
pub(crate) use parts::{Decoder, NormPart, ProjectionPart, TablePart};

/// A base model: tokenizer and frozen f32 tensors. Cheap to clone; clones share the tensors.
#[derive(Clone, Debug)]
pub struct BaseModel(Arc<Base>);

#[derive(Debug)]
struct Base {
    config: Config,
    vocabulary: Vocabulary,
    parts: Parts,
    body: Body,
    decoder: Decoder,
    parameters: u64,
    stored: BTreeMap<String, u64>,
}

impl BaseModel {
    /// Reads the three files of a Hugging Face directory: `config.json` of a BERT, RoBERTa (also
    /// XLM-RoBERTa and CamemBERT), DistilBERT, ALBERT, ELECTRA generator or ModernBERT,
    /// `tokenizer.json` with a WordPiece, BPE or Unigram model, and `model.safetensors` in f32, f16
    /// or bf16, with the masked-LM head.
    ///
    /// # Errors
    /// The first thing that does not fit, named by file and field or tensor.
    pub fn from_bytes(config_json: &[u8], tokenizer_json: &[u8], weights: &[u8]) -> Result<Self> {
        let weights = WeightFile::from_bytes(WEIGHTS, weights);
        Self::from_files(config_json, tokenizer_json, [weights])
    }

    /// Like [`Self::from_bytes`], with the weights in one or more files, in any order, which are
    /// read tensor by tensor. What is unsupported is refused before any of them is looked at.
    ///
    /// # Errors
    /// The first thing that does not fit, named by file and field or tensor.
    pub fn from_files<'a>(
        config_json: &[u8],
        tokenizer_json: &[u8],
        weights: impl IntoIterator<Item = WeightFile<'a>>,
    ) -> Result<Self> {
        let config = Config::new(config_json)?;
        let vocabulary = Vocabulary::new(tokenizer_json, config.vocab_size)?;
        let mut weights = Weights::new(weights, config.architecture.prefix())?;
        Ok(Self(Arc::new(Base::new(config, vocabulary, &mut weights)?)))
    }

    /// Checks `config.json` alone: whether this program can follow a model of its kind.
    ///
    /// # Errors
    /// The first field that does not fit.
    pub fn check_config(config_json: &[u8]) -> Result<()> {
        Config::new(config_json).map(drop)
    }

    /// Number of parameters read; tied weights count once.
    pub fn parameters(&self) -> u64 {
        self.0.parameters
    }

    /// Number of parameters by their type in the files: `F32`, `F16` or `BF16`.
    pub fn stored(&self) -> &BTreeMap<String, u64> {
        &self.0.stored
    }

    /// Width of the hidden states.
    pub fn hidden(&self) -> usize {
        self.0.config.hidden_size
    }

    /// Number of transformer layers.
    pub fn layers(&self) -> usize {
        self.0.config.num_hidden_layers
    }

    /// Most tokens of a prompt.
    pub fn positions(&self) -> usize {
        self.0.config.positions()
    }

    /// The text's token ids, without special tokens; what looks like one in the text is text.
    pub fn token_ids(&self, text: &str) -> Vec<u32> {
        self.vocabulary().split(text)
    }

    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.0.vocabulary
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0.parts
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.0.decoder
    }

    /// The table that the decoder's rows are in.
    pub(crate) fn decoder_rows(&self) -> &TablePart {
        self.0.parts.table(self.0.decoder.rows)
    }

    /// The table that token ids are looked up in.
    pub(crate) fn words(&self) -> &TablePart {
        self.0.parts.table(self.0.body.words())
    }

    /// The label scores at each prompt's mask.
    ///
    /// # Shapes
    /// B prompts, `head` (L, H) -> (B, L)
    pub(crate) fn forward(
        &self,
        prompts: &[&Cloze],
        active: &Active,
        head: &Projection,
    ) -> Result<Tensor> {
        let x = self.0.body.forward(&Packed::new(prompts), active)?;
        head.forward(&x)
    }
}

impl Base {
    fn new(config: Config, vocabulary: Vocabulary, weights: &mut Weights<'_>) -> Result<Self> {
        let mut reader = Reader::new(weights);
        let body = Body::read(&config, &mut reader)?;
        let decoder = reader.decoder(&config, body.words())?;
        let parts = reader.parts;
        Ok(Self {
            parameters: weights.parameters(),
            stored: weights.stored(),
            config,
            vocabulary,
            parts,
            body,
            decoder,
        })
    }
}

#[cfg(test)]
mod tests;
