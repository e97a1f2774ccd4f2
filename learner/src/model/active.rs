//! A model's parts as one pass uses them: frozen, or with something trained beside them.

use candle_core::{Device, Tensor};

use super::parts::{NormId, Parts, ProjectionId, ProjectionPart, TableId};
use crate::Result;
use crate::ops::{AddLayerNorm, FrozenLinear, LayerNorm, LayerNormWeights, LoraLinear};

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
    },
}

/// Every part of a model as it is used; the models' arithmetic reaches their parts through this.
#[derive(Clone, Debug)]
pub(crate) struct Active {
    projections: Vec<Projection>,
    norms: Vec<LayerNormWeights>,
    tables: Vec<Tensor>,
}

impl Projection {
    /// (N, in) -> (N, out)
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Frozen(linear) => linear.forward(x)?,
            Self::Lora {
                frozen,
                scale,
                a,
                b,
            } => LoraLinear::forward(frozen, *scale, x, a, b)?,
        })
    }
}

impl Active {
    /// All parts frozen, but for the projections as `adapt` makes them.
    pub(crate) fn new(
        parts: &Parts,
        adapt: impl FnMut(&ProjectionPart) -> Result<Projection>,
    ) -> Result<Self> {
        let norms = parts.norms.iter().map(|part| part.weights.clone());
        let tables = parts.tables.iter().map(|part| part.rows.clone());
        Ok(Self {
            projections: parts.projections.iter().map(adapt).collect::<Result<_>>()?,
            norms: norms.collect(),
            tables: tables.collect(),
        })
    }

    /// (N, in) -> (N, out)
    pub(crate) fn project(&self, id: ProjectionId, x: &Tensor) -> Result<Tensor> {
        self.projections[id.0].forward(x)
    }

    /// LN(x), (N, H) -> (N, H)
    pub(crate) fn norm(&self, id: NormId, x: &Tensor) -> Result<Tensor> {
        Ok(LayerNorm::forward(&self.norms[id.0], x)?)
    }

    /// LN(x + residual), (N, H) + (N, H) -> (N, H)
    pub(crate) fn add_norm(&self, id: NormId, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        Ok(AddLayerNorm::forward(&self.norms[id.0], x, residual)?)
    }

    /// The rows of a table for these ids, (N, H).
    pub(crate) fn rows(&self, id: TableId, ids: &[u32]) -> Result<Tensor> {
        let ids = Tensor::new(ids, &Device::Cpu)?;
        Ok(self.tables[id.0].index_select(&ids, 0)?)
    }
}
