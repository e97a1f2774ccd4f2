//! A model's parts as one pass uses them: frozen, with something trained beside them, or trained.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::parts::{
    Decoder, NormId, NormPart, Parts, ProjectionId, ProjectionPart, TableId, TablePart,
};
use crate::Result;
use crate::dropout::Dropout;
use crate::ops::{
    Activation, AddLayerNorm, FeedForward, FrozenLinear, LayerNorm, LayerNormWeights, LoraLinear,
    TrainedLayerNorm, TrainedLinear,
};

/// A linear layer as it is used.
#[derive(Clone, Debug)]
pub(crate) enum Projection {
    /// Not adapted, or with the adapter merged into it.
    Frozen(FrozenLinear),
    /// With the matrices beside it, for training.
    Lora {
        frozen: FrozenLinear,
        scale: f32,
        a: Tensor,
        b: Tensor,
        dropout: Option<Arc<Dropout>>,
    },
    /// Trained itself: weight (out, in) and bias (out).
    Trained { weight: Tensor, bias: Tensor },
}

/// A layer norm as it is used.
#[derive(Clone, Debug)]
pub(crate) enum Norm {
    Frozen(LayerNormWeights),
    /// Trained itself: weight and bias (H).
    Trained {
        weight: Tensor,
        bias: Tensor,
        epsilon: f64,
    },
}

/// A table of embeddings as it is used.
#[derive(Clone, Debug)]
pub(crate) enum Table {
    /// All its rows.
    Whole(Tensor),
    /// Those that a batch asks for, so that the others cost a step nothing.
    Part {
        rows: Tensor,
        /// By id, its place among the rows.
        places: Arc<BTreeMap<u32, u32>>,
    },
}

/// Every part of a model as it is used; the models' arithmetic reaches their parts through this.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    projections: Vec<Projection>,
    norms: Vec<Norm>,
    tables: Vec<Table>,
    decoder: TableId,
    /// One value a word, (V, 1).
    decoder_bias: Table,
}

impl Projection {
    /// (N, in) -> (N, out)
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Frozen(linear) => linear.forward(x)?,
            Self::Lora {
                frozen,
                scale,
                a,
                b,
                dropout,
            } => {
                let (rows, width) = x.dims2()?;
                let mask = dropout.as_ref().map(|dropout| dropout.mask(rows, width));
                LoraLinear::forward(frozen, *scale, mask.transpose()?, [x, a, b])?
            }
            Self::Trained { weight, bias } => TrainedLinear::forward(x, weight, bias)?,
        })
    }
}

impl Norm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Frozen(weights) => LayerNorm::forward(weights, x)?,
            Self::Trained {
                weight,
                bias,
                epsilon,
            } => TrainedLayerNorm::forward(*epsilon, x, weight, bias)?,
        })
    }

    fn forward_sum(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        match self {
            Self::Frozen(weights) => Ok(AddLayerNorm::forward(weights, x, residual)?),
            Self::Trained { .. } => self.forward(&(x + residual)?),
        }
    }
}

impl Table {
    /// The rows for these ids, (N, H).
    fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let select = |rows: &Tensor, ids: &[u32]| {
            let ids = Tensor::new(ids, &Device::Cpu)?;
            rows.index_select(&ids, 0)
        };
        Ok(match self {
            Self::Whole(rows) => select(rows, ids)?,
            Self::Part { rows, places } => {
                // An id that is not there is out of range, which the selection says.
                let place = |id: &u32| places.get(id).copied().unwrap_or(u32::MAX);
                let places: Vec<u32> = ids.iter().map(place).collect();
                select(rows, &places)?
            }
        })
    }
}

impl Active {
    /// All parts frozen, but for the projections as `adapt` makes them.
    pub(crate) fn new(
        parts: &Parts,
        decoder: &Decoder,
        adapt: impl FnMut(&ProjectionPart) -> Result<Projection>,
    ) -> Result<Self> {
        let norms = parts.norms.iter();
        let tables = parts.tables.iter();
        Ok(Self {
            projections: parts.projections.iter().map(adapt).collect::<Result<_>>()?,
            norms: norms
                .map(|part| Norm::Frozen(part.weights.clone()))
                .collect(),
            tables: tables.map(|part| Table::Whole(part.rows.clone())).collect(),
            decoder: decoder.rows,
            decoder_bias: Table::Whole(decoder.bias.clone()),
        })
    }

    /// All parts as `source` makes them.
    pub(crate) fn made(parts: &Parts, decoder: &Decoder, source: &mut impl Source) -> Result<Self> {
        let mut projections = Vec::with_capacity(parts.projections.len());
        for part in &parts.projections {
            projections.push(source.projection(part)?);
        }
        let mut norms = Vec::with_capacity(parts.norms.len());
        for part in &parts.norms {
            norms.push(source.norm(part)?);
        }
        let mut tables = Vec::with_capacity(parts.tables.len());
        for part in &parts.tables {
            tables.push(source.table(part)?);
        }
        Ok(Self {
            projections,
            norms,
            tables,
            decoder: decoder.rows,
            decoder_bias: source.decoder_bias(decoder)?,
        })
    }

    /// (N, in) -> (N, out)
    pub(crate) fn project(&self, id: ProjectionId, x: &Tensor) -> Result<Tensor> {
        self.projections[id.0].forward(x)
    }

    /// A key's layer that can be turned round, where its values' layer may also come after
    /// attention: both as [`mixtures`](crate::ops::mixtures) needs them. Dropout's mask is one of
    /// tokens, and so bound to the tokens' values.
    pub(crate) fn absorbable(
        &self,
        key: ProjectionId,
        value: ProjectionId,
    ) -> Option<&FrozenLinear> {
        match (&self.projections[key.0], &self.projections[value.0]) {
            (
                Projection::Frozen(key),
                Projection::Frozen(_) | Projection::Lora { dropout: None, .. },
            ) => Some(key),
            _ => None,
        }
    }

    /// f(x W₁ᵀ + b₁) W₂ᵀ + b₂, (N, H) -> (N, H)
    pub(crate) fn feed_forward(
        &self,
        [widen, narrow]: [ProjectionId; 2],
        activation: Activation,
        x: &Tensor,
    ) -> Result<Tensor> {
        let [widen, narrow] = [widen, narrow].map(|id| &self.projections[id.0]);
        match (widen, narrow) {
            (Projection::Frozen(widen), Projection::Frozen(narrow)) => {
                Ok(FeedForward::forward([widen, narrow], activation, x)?)
            }
            _ => narrow.forward(&activation.forward(&widen.forward(x)?)?),
        }
    }

    /// LN(x), (N, H) -> (N, H)
    pub(crate) fn norm(&self, id: NormId, x: &Tensor) -> Result<Tensor> {
        self.norms[id.0].forward(x)
    }

    /// LN(x + residual), (N, H) + (N, H) -> (N, H)
    pub(crate) fn add_norm(&self, id: NormId, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.norms[id.0].forward_sum(x, residual)
    }

    /// The rows of a table for these ids, (N, H).
    pub(crate) fn rows(&self, id: TableId, ids: &[u32]) -> Result<Tensor> {
        self.tables[id.0].rows(ids)
    }

    /// The decoder's part for these words, one row per list of words: the mean of their rows.
    ///
    /// The mean logit of several words is linear in the hidden state, so it is one row's logit.
    pub(crate) fn head(&self, words: &[Vec<u32>]) -> Result<Projection> {
        let (mut rows, mut biases) = (Vec::new(), Vec::new());
        for words in words {
            rows.push(self.rows(self.decoder, words)?.mean_keepdim(0)?);
            biases.push(self.decoder_bias.rows(words)?.mean_keepdim(0)?);
        }
        let weight = Tensor::cat(&rows, 0)?;
        let bias = Tensor::cat(&biases, 0)?.flatten_all()?;
        if weight.track_op() {
            return Ok(Projection::Trained { weight, bias });
        }
        let (output, input) = weight.dims2()?;
        let weight: Vec<f32> = weight.flatten_all()?.to_vec1()?;
        let linear = FrozenLinear::new(&weight, [output, input], bias.to_vec1()?);
        Ok(Projection::Frozen(linear))
    }
}

/// Makes a model's parts one after the other.
pub(crate) trait Source {
    fn projection(&mut self, part: &ProjectionPart) -> Result<Projection>;
    fn norm(&mut self, part: &NormPart) -> Result<Norm>;
    fn table(&mut self, part: &TablePart) -> Result<Table>;
    /// One value a word, (V, 1).
    fn decoder_bias(&mut self, decoder: &Decoder) -> Result<Table>;
}
