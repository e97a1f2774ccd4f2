//! The frozen masked language model, asked at the mask only.

mod active;
mod body;
mod encoder;
mod info;
mod lower;
mod modern;
mod names;
mod packed;
mod parts;
mod paths;

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use fl_core::adapter::Matrix;
use fl_core::settings::LoraSettings;

use crate::Result;
use crate::config::Config;
use crate::error::{LearnerError, WEIGHTS};
use crate::prompt::Cloze;
use crate::tokenize::Vocabulary;
use crate::weights::{WeightFile, Weights};
use body::Body;
use packed::Packed;
use parts::{Parts, Reader};

pub(crate) use active::{Active, Norm, Projection, Source, Table};
pub use info::{LoraInfo, ModelInfo};
pub(crate) use lower::Lower;
pub(crate) use parts::{Decoder, NormPart, ProjectionPart, TablePart};

/// A base model: tokenizer and frozen tensors. Cheap to clone; clones share the tensors.
#[derive(Clone, Debug)]
pub struct BaseModel {
    base: Arc<Base>,
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Base {
    config: Config,
    vocabulary: Vocabulary,
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
        let mut reader = Reader::new(&mut weights);
        let body = Body::read(&config, &mut reader)?;
        let decoder = reader.decoder(&config, body.words())?;
        let parts = Arc::new(reader.parts);
        let base = Base {
            parameters: weights.parameters(),
            stored: weights.stored(),
            config,
            vocabulary,
            body,
            decoder,
        };
        Ok(Self {
            base: Arc::new(base),
            parts,
        })
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
        self.base.parameters
    }

    /// Number of parameters by their type in the files: `F32`, `F16` or `BF16`.
    pub fn stored(&self) -> &BTreeMap<String, u64> {
        &self.base.stored
    }

    /// Width of the hidden states.
    pub fn hidden(&self) -> usize {
        self.base.config.hidden_size
    }

    /// Number of transformer layers.
    pub fn layers(&self) -> usize {
        self.base.config.num_hidden_layers
    }

    /// Most tokens of a prompt.
    pub fn positions(&self) -> usize {
        self.base.config.positions()
    }

    /// The text's token ids, without special tokens; what looks like one in the text is text.
    pub fn token_ids(&self, text: &str) -> Vec<u32> {
        self.vocabulary().split(text)
    }

    /// The model with matrices added to the weights of its projections: each (out, in), by the
    /// projection's path with PEFT's `base_model.model.` before it. Everything else is shared.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] for a matrix of another shape, or of no projection.
    pub fn plus(&self, added: &BTreeMap<String, Matrix>) -> Result<Self> {
        let mut parts = (*self.parts).clone();
        for (name, matrix) in added {
            let path = name.strip_prefix("base_model.model.").unwrap_or(name);
            let part = parts.projections.iter_mut().find(|part| part.path == path);
            let part = part.ok_or_else(|| {
                LearnerError::argument("matrix to add", "a projection's path", name)
            })?;
            let shape = (matrix.rows, matrix.columns);
            if part.linear.widths() != shape || matrix.values.len() != shape.0 * shape.1 {
                let expected = format!("{:?} for {name}", part.linear.widths());
                let got = format!("{shape:?}");
                return Err(LearnerError::argument("matrix to add", expected, got));
            }
            let delta = Tensor::from_slice(&matrix.values, shape, &Device::Cpu)?;
            part.linear = part.linear.plus(&delta)?;
        }
        Ok(Self {
            base: Arc::clone(&self.base),
            parts: Arc::new(parts),
        })
    }

    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.base.vocabulary
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.base.decoder
    }

    /// The table that the decoder's rows are in.
    pub(crate) fn decoder_rows(&self) -> &TablePart {
        self.parts.table(self.base.decoder.rows)
    }

    /// The table that token ids are looked up in.
    pub(crate) fn words(&self) -> &TablePart {
        self.parts.table(self.base.body.words())
    }

    /// Whether layers use the same weights, as ALBERT's do.
    pub(crate) fn shares_layers(&self) -> bool {
        let layers = self.parts.projections.iter().filter_map(|part| part.layer);
        layers.max() != self.layers().checked_sub(1)
    }

    /// Whether LoRA with these settings adapts a projection.
    pub(crate) fn adapts(&self, lora: &LoraSettings, part: &ProjectionPart) -> bool {
        let lowest = lora.lowest_layer(self.layers());
        part.is_among(&lora.targets) && part.layer.is_none_or(|layer| layer >= lowest)
    }

    /// The label scores at each prompt's mask; with `lower`, what it keeps is not computed again.
    ///
    /// # Shapes
    /// B prompts, `head` (L, H) -> (B, L)
    pub(crate) fn forward(
        &self,
        prompts: &[&Cloze],
        active: &Active,
        head: &Projection,
        lower: Option<&Lower>,
    ) -> Result<Tensor> {
        let (body, packed) = (&self.base.body, Packed::new(prompts));
        let (start, x) = match lower {
            None => (0, body.before(0, &packed, active)?),
            Some(lower) => {
                let layer = lower.layer();
                let compute =
                    |prompts: &[&Cloze]| body.before(layer, &Packed::new(prompts), active);
                (layer, lower.rows(prompts, compute)?)
            }
        };
        head.forward(&body.after(start, x, &packed, active)?)
    }
}

#[cfg(test)]
mod tests;
