//! Linear layers and layer norms whose own weights are trained.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::layer_norm::{LayerNormWeights, moments};
use super::{output, values, with_values};

/// y = x Wᵀ + b with W and b trained.
///
/// # Shapes
/// x (N, in), W (out, in), b (out) -> (N, out)
#[derive(Debug)]
pub(crate) struct TrainedLinear;

impl TrainedLinear {
    pub(crate) fn forward(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        x.apply_op3(weight, bias, Self)
    }
}

impl CustomOp3 for TrainedLinear {
    fn name(&self) -> &'static str {
        "trained-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = x_layout.shape().dims2()?;
        let (outputs, inputs) = weight_layout.shape().dims2()?;
        let bias = values(bias, bias_layout)?;
        if width != inputs || bias.len() != outputs {
            bail!("linear layer: got W {weight_layout:?} and b {bias_layout:?} for x {x_layout:?}");
        }
        let transposed = weight_layout.transpose(0, 1)?;
        let shape = (1, rows, outputs, inputs);
        let CpuStorage::F32(mut y) = x.matmul(weight, shape, x_layout, &transposed)? else {
            bail!("linear layer: expected f32");
        };
        for row in y.chunks_exact_mut(outputs) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
        Ok(output(y, (rows, outputs)))
    }

    /// dx = dy W where it is wanted, dW = dyᵀ x, db = Σ dy.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dx = match x.track_op() {
            true => Some(gradient.matmul(&weight.detach())?),
            false => None,
        };
        let dweight = gradient.t()?.matmul(&x.detach())?;
        let mut dbias = vec![0.0f32; bias.elem_count()];
        with_values(gradient, |dy| {
            for row in dy.chunks_exact(dbias.len()) {
                dbias.iter_mut().zip(row).for_each(|(sum, dy)| *sum += dy);
            }
            Ok(())
        })?;
        let dbias = Tensor::from_vec(dbias, bias.shape(), bias.device())?;
        Ok((dx, Some(dweight), Some(dbias)))
    }
}

/// LN(x) · γ + β with γ and β trained (Ba et al. 2016).
///
/// # Shapes
/// x (N, H), γ (H), β (H) -> (N, H)
#[derive(Debug)]
pub(crate) struct TrainedLayerNorm {
    epsilon: f64,
}

impl TrainedLayerNorm {
    pub(crate) fn forward(
        epsilon: f64,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
    ) -> Result<Tensor> {
        x.apply_op3(weight, bias, Self { epsilon })
    }
}

impl CustomOp3 for TrainedLayerNorm {
    fn name(&self) -> &'static str {
        "trained-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let weight = values(weight, weight_layout)?.to_vec();
        let bias = values(bias, bias_layout)?.to_vec();
        let width = weight.len();
        if x_layout.dims().last() != Some(&width) || bias.len() != width {
            bail!("layer norm: got γ {weight_layout:?} and β {bias_layout:?} for x {x_layout:?}");
        }
        let mut y = values(x, x_layout)?.to_vec();
        LayerNormWeights::new(weight, bias, self.epsilon).normalise_rows(&mut y);
        Ok(output(y, x_layout.shape().clone()))
    }

    /// dγ = Σ dy ∘ n and dβ = Σ dy, with n = (x − mean) / σ; dx as with frozen weights.
    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = weight.elem_count();
        let (mut dweight, mut dbias) = (vec![0.0f32; width], vec![0.0f32; width]);
        let rows = with_values(x, |x| Ok(x.to_vec()))?;
        with_values(gradient, |dy| {
            for (row, dy) in rows.chunks_exact(width).zip(dy.chunks_exact(width)) {
                let (mean, scale) = moments(row, self.epsilon as f32);
                let sums = dweight.iter_mut().zip(&mut dbias);
                for ((dweight, dbias), (x, dy)) in sums.zip(row.iter().zip(dy)) {
                    *dweight += dy * (x - mean) * scale;
                    *dbias += dy;
                }
            }
            Ok(())
        })?;
        let weights = with_values(weight, |weight| {
            let bias = vec![0.0; width];
            Ok(LayerNormWeights::new(weight.to_vec(), bias, self.epsilon))
        })?;
        let dx = weights.gradients(rows, gradient)?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        let (dweight, dbias) = (tensor(dweight, weight)?, tensor(dbias, bias)?);
        Ok((Some(dx), Some(dweight), Some(dbias)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Var};

    use super::*;
    use crate::ops::linear::tests::{assert_close, random};

    fn gradient(y: &Tensor, dy: &Tensor, var: &Var) -> Tensor {
        let loss = (y * dy).unwrap().sum_all().unwrap();
        loss.backward().unwrap().get(var).unwrap().clone()
    }

    fn var(shape: (usize, usize), seed: u32) -> Var {
        Var::from_tensor(&random(shape, seed)).unwrap()
    }

    /// A variable that is a vector.
    fn vector(size: usize, seed: u32) -> Var {
        Var::from_tensor(&random((1, size), seed).flatten_all().unwrap()).unwrap()
    }

    #[test]
    fn linear_value_and_gradients_equal_plain_candle() {
        for (rows, inputs, outputs) in [(1, 1, 1), (3, 5, 7), (8, 32, 16), (17, 9, 33)] {
            let (x, weight) = (var((rows, inputs), 1), var((outputs, inputs), 2));
            let bias = vector(outputs, 3);
            let ours = TrainedLinear::forward(&x, &weight, &bias).unwrap();
            let product = x.matmul(&weight.t().unwrap()).unwrap();
            let theirs = product.broadcast_add(&bias).unwrap();
            assert_close(&ours, &theirs, 1e-5);
            let dy = random((rows, outputs), 4);
            for var in [&x, &weight, &bias] {
                let (ours, theirs) = (gradient(&ours, &dy, var), gradient(&theirs, &dy, var));
                assert_close(&ours, &theirs, 2e-5);
            }
        }
    }

    #[test]
    fn layer_norm_value_and_gradients_equal_plain_candle() {
        for (rows, width) in [(1, 2), (3, 5), (4, 32), (5, 67)] {
            let (x, weight, bias) = (var((rows, width), 1), vector(width, 2), vector(width, 3));
            let ours = TrainedLayerNorm::forward(1e-12, &x, &weight, &bias).unwrap();
            let mean = x.mean_keepdim(D::Minus1).unwrap();
            let centred = x.broadcast_sub(&mean).unwrap();
            let variance = centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap();
            let normal = centred.broadcast_div(&(variance + 1e-12).unwrap().sqrt().unwrap());
            let scaled = normal.unwrap().broadcast_mul(&weight).unwrap();
            let theirs = scaled.broadcast_add(&bias).unwrap();
            assert_close(&ours, &theirs, 2e-5);
            let dy = random((rows, width), 5);
            for var in [&x, &weight, &bias] {
                let (ours, theirs) = (gradient(&ours, &dy, var), gradient(&theirs, &dy, var));
                assert_close(&ours, &theirs, 2e-3);
            }
        }
    }

    #[test]
    fn misshapen_inputs_are_refused() {
        let (x, weight, bias) = (random((2, 3), 1), random((4, 3), 2), random((1, 4), 3));
        assert!(TrainedLinear::forward(&x, &weight, &bias).is_ok());
        assert!(TrainedLinear::forward(&x, &bias, &bias).is_err());
        assert!(TrainedLinear::forward(&x, &weight, &weight).is_err());
        assert!(TrainedLayerNorm::forward(1e-12, &x, &bias, &bias).is_err());
    }
}
