//! The frozen parts of a model, each under the name that Hugging Face gives it.

use candle_core::{Device, Tensor};
use fl_core::settings::LoraTarget;

use super::body::DecoderNames;
use crate::Result;
use crate::config::Config;
use crate::ops::{FrozenLinear, LayerNormWeights};
use crate::weights::{Bias, Weights};

/// Which of a model's projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProjectionId(pub(super) usize);

/// Which of a model's layer norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NormId(pub(super) usize);

/// Which of a model's embedding tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableId(pub(super) usize);

/// A linear layer. Layers that share one, as ALBERT's do, share its id.
#[derive(Clone, Debug)]
pub(crate) struct ProjectionPart {
    /// Its path in the Hugging Face model, `bert.encoder.layer.0.attention.self.query` say.
    pub(crate) path: String,
    /// The LoRA targets that mean it: none for one outside the layers, several for a fused one.
    pub(crate) targets: &'static [LoraTarget],
    /// The transformer layer that it is of; that of the first use where layers share it.
    pub(crate) layer: Option<usize>,
    pub(crate) linear: FrozenLinear,
}

/// A layer norm.
#[derive(Clone, Debug)]
pub(crate) struct NormPart {
    /// Its path in the Hugging Face model.
    pub(crate) path: String,
    pub(crate) weights: LayerNormWeights,
}

/// A table of embeddings, one a row.
#[derive(Clone, Debug)]
pub(crate) struct TablePart {
    /// Its path in the Hugging Face model.
    pub(crate) path: String,
    pub(crate) rows: Tensor,
}

/// The decoder at the model's end: a row and a bias for each word of the vocabulary.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The words' own embeddings where the two are tied.
    pub(crate) rows: TableId,
    /// The bias's name in the Hugging Face model.
    pub(crate) bias_name: String,
    /// (V, 1)
    pub(crate) bias: Tensor,
}

/// Every part of a model, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) projections: Vec<ProjectionPart>,
    pub(crate) norms: Vec<NormPart>,
    pub(crate) tables: Vec<TablePart>,
}

impl Parts {
    pub(crate) fn table(&self, id: TableId) -> &TablePart {
        &self.tables[id.0]
    }
}

impl ProjectionPart {
    /// Whether LoRA on these targets adapts it.
    pub(crate) fn is_among(&self, targets: &[LoraTarget]) -> bool {
        self.targets.iter().any(|target| targets.contains(target))
    }

    /// The two names under which PEFT keeps its matrices, A (rank, in) and B (out, rank).
    pub(crate) fn lora_names(&self) -> [String; 2] {
        ["lora_A", "lora_B"].map(|matrix| format!("base_model.model.{}.{matrix}.weight", self.path))
    }
}

/// Reads the parts of a model one after the other.
pub(crate) struct Reader<'w, 'b> {
    pub(crate) weights: &'w mut Weights<'b>,
    pub(crate) parts: Parts,
    /// The transformer layer that is being read.
    pub(crate) layer: Option<usize>,
}

impl<'w, 'b> Reader<'w, 'b> {
    pub(crate) fn new(weights: &'w mut Weights<'b>) -> Self {
        let parts = Parts::default();
        Self {
            weights,
            parts,
            layer: None,
        }
    }

    /// A linear layer of weight (output, input).
    pub(crate) fn projection(
        &mut self,
        path: &str,
        targets: &'static [LoraTarget],
        shape: [usize; 2],
        bias: Bias,
    ) -> Result<ProjectionId> {
        let part = ProjectionPart {
            path: path.into(),
            targets,
            layer: self.layer,
            linear: self.weights.linear(path, shape, bias)?,
        };
        self.parts.projections.push(part);
        Ok(ProjectionId(self.parts.projections.len() - 1))
    }

    /// A layer norm over rows of `size`.
    pub(crate) fn norm(
        &mut self,
        path: &str,
        size: usize,
        epsilon: f64,
        bias: Bias,
    ) -> Result<NormId> {
        let part = NormPart {
            path: path.into(),
            weights: self.weights.layer_norm(path, size, epsilon, bias)?,
        };
        self.parts.norms.push(part);
        Ok(NormId(self.parts.norms.len() - 1))
    }

    /// The decoder (V, E), E the embeddings' width: the `words` themselves where the files have
    /// none of its own, or the same.
    pub(crate) fn decoder(&mut self, config: &Config, words: TableId) -> Result<Decoder> {
        let (size, width) = (config.vocab_size, config.embedding_size);
        let DecoderNames { path, biases } = config.architecture.decoder();
        let bias = match biases {
            [] => vec![0.0; size],
            names => self.weights.values(names, &[size])?,
        };
        let own = format!("{path}.weight");
        let tied = format!("{}.weight", self.parts.table(words).path);
        let is_tied = match self.weights.has(&own) {
            true => self.weights.are_same(&own, &tied)?,
            false => config.tied,
        };
        Ok(Decoder {
            rows: match is_tied {
                true => words,
                false => self.table(path, [size, width])?,
            },
            bias_name: biases.first().copied().unwrap_or_default().into(),
            bias: Tensor::from_vec(bias, (size, 1), &Device::Cpu)?,
        })
    }

    /// A table of embeddings (rows, width).
    pub(crate) fn table(&mut self, path: &str, shape: [usize; 2]) -> Result<TableId> {
        let rows = self.weights.tensor(&format!("{path}.weight"), &shape)?;
        let path = path.into();
        self.parts.tables.push(TablePart { path, rows });
        Ok(TableId(self.parts.tables.len() - 1))
    }
}
