//! Linear layers with and without LoRA, and layer norms for training and for asking.

use candle_core::{Result, Tensor, Var};
use candle_nn::{LayerNorm, Linear, Module as _, ops};

use crate::tensors::Tensors;

/// A linear layer, frozen or with LoRA matrices beside it.
#[derive(Clone, Debug)]
pub(crate) struct Projection {
    frozen: Linear,
    lora: Option<Lora>,
}

#[derive(Clone, Debug)]
struct Lora {
    /// (r, in)
    a: Tensor,
    /// (out, r)
    b: Tensor,
    scale: f64,
}

impl Projection {
    pub(crate) fn read(tensors: &Tensors, path: &str) -> Result<Self> {
        let part = |name| tensors.tensor(&format!("{path}.{name}"));
        let frozen = Linear::new(part("weight")?, Some(part("bias")?));
        Ok(Self { frozen, lora: None })
    }

    /// With the matrices of the adapter as variables.
    pub(crate) fn adapted(
        &self,
        adapter: &Tensors,
        path: &str,
        scale: f64,
        variables: &mut Vec<Var>,
    ) -> Result<Self> {
        let [a, b] = matrices(adapter, path)?;
        let (a, b) = (Var::from_tensor(&a)?, Var::from_tensor(&b)?);
        let lora = Lora {
            a: a.as_tensor().clone(),
            b: b.as_tensor().clone(),
            scale,
        };
        variables.extend([a, b]);
        Ok(Self {
            frozen: self.frozen.clone(),
            lora: Some(lora),
        })
    }

    /// With the matrices of the adapter in the weight.
    pub(crate) fn merged(&self, adapter: &Tensors, path: &str, scale: f64) -> Result<Self> {
        let [a, b] = matrices(adapter, path)?;
        let weight = (self.frozen.weight() + (b.matmul(&a)? * scale)?)?;
        let frozen = Linear::new(weight, self.frozen.bias().cloned());
        Ok(Self { frozen, lora: None })
    }

    /// (…, in) -> (…, out)
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.frozen.forward(x)?;
        let Some(Lora { a, b, scale }) = &self.lora else {
            return Ok(y);
        };
        let low = Linear::new(a.clone(), None).forward(x)?;
        y + (Linear::new(b.clone(), None).forward(&low)? * *scale)?
    }
}

fn matrices(adapter: &Tensors, path: &str) -> Result<[Tensor; 2]> {
    let matrix = |name| adapter.tensor(&format!("base_model.model.{path}.{name}.weight"));
    Ok([matrix("lora_A")?, matrix("lora_B")?])
}

/// A layer norm. candle's own operation is fast and has no gradient.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Norm {
    pub(crate) fn read(tensors: &Tensors, path: &str, eps: f64) -> Result<Self> {
        let part = |name| tensors.tensor(&format!("{path}.{name}"));
        Ok(Self {
            weight: part("weight")?,
            bias: part("bias")?,
            eps,
        })
    }

    /// (…, H) -> (…, H)
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.track_op() {
            return ops::layer_norm_slow(x, &self.weight, &self.bias, self.eps as f32);
        }
        LayerNorm::new(self.weight.clone(), self.bias.clone(), self.eps).forward(x)
    }
}
