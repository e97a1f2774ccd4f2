//! Layer norm, also of a sum, with frozen weight and bias (Ba et al. 2016).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::math::total;
use super::{output, values, with_values};

/// Weight, bias and ε of one layer norm.
#[derive(Clone, Debug)]
pub(crate) struct LayerNormWeights(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl LayerNormWeights {
    /// Weight and bias are as long as a row.
    pub(crate) fn new(weight: Vec<f32>, bias: Vec<f32>, epsilon: f64) -> Self {
        Self(Arc::new(Inner {
            weight,
            bias,
            epsilon: epsilon as f32,
        }))
    }

    fn normalise(&self, row: &mut [f32]) {
        let (mean, scale) = moments(row, self.0.epsilon);
        let parameters = self.0.weight.iter().zip(&self.0.bias);
        for (value, (weight, bias)) in row.iter_mut().zip(parameters) {
            *value = (*value - mean) * scale * weight + bias;
        }
    }

    fn width(&self) -> usize {
        self.0.weight.len()
    }

    pub(crate) fn weight(&self) -> &[f32] {
        &self.0.weight
    }

    pub(crate) fn bias(&self) -> &[f32] {
        &self.0.bias
    }

    pub(crate) fn epsilon(&self) -> f64 {
        self.0.epsilon.into()
    }

    pub(super) fn normalise_rows(&self, rows: &mut [f32]) {
        rows.chunks_exact_mut(self.width())
            .for_each(|row| self.normalise(row));
    }

    /// The gradient of LN at `rows`, for the gradient of its result, as a tensor of its shape.
    pub(super) fn gradients(&self, mut rows: Vec<f32>, gradient: &Tensor) -> Result<Tensor> {
        let width = self.width();
        with_values(gradient, |dy| {
            let rows = rows.chunks_exact_mut(width).zip(dy.chunks_exact(width));
            rows.for_each(|(row, dy)| self.gradient(row, dy));
            Ok(())
        })?;
        Tensor::from_vec(rows, gradient.shape(), gradient.device())
    }

    /// The gradient of LN at `row`, for the gradient `dy` of its result, into `row`.
    ///
    /// With n = (x − mean)/σ and g = dy · weight: dx = (g − mean(g) − n · mean(g·n)) / σ.
    fn gradient(&self, row: &mut [f32], dy: &[f32]) {
        let (mean, scale) = moments(row, self.0.epsilon);
        let weight = &self.0.weight;
        let size = row.len() as f32;
        let g = |i: usize| dy[i] * weight[i];
        let sum = total(row.len(), g);
        let along = total(row.len(), |i| g(i) * (row[i] - mean) * scale);
        let (sum, along) = (sum / size, along / size);
        for (i, value) in row.iter_mut().enumerate() {
            let normal = (*value - mean) * scale;
            *value = (g(i) - sum - normal * along) * scale;
        }
    }
}

/// Mean and 1/√(variance + ε).
pub(super) fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let size = row.len() as f32;
    let mean = total(row.len(), |i| row[i]) / size;
    let square = |i: usize| (row[i] - mean) * (row[i] - mean);
    let variance = total(row.len(), square) / size;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// LN(x), (N, H) -> (N, H).
pub(crate) struct LayerNorm(LayerNormWeights);

impl LayerNorm {
    pub(crate) fn forward(weights: &LayerNormWeights, x: &Tensor) -> Result<Tensor> {
        x.apply_op1(Self(weights.clone()))
    }
}

impl CustomOp1 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = self.0.width();
        if layout.dims().last() != Some(&width) {
            bail!("layer norm: expected (N, {width}), got {layout:?}");
        }
        let mut y = values(x, layout)?.to_vec();
        self.0.normalise_rows(&mut y);
        Ok(output(y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let rows = with_values(x, |x| Ok(x.to_vec()))?;
        self.0.gradients(rows, gradient).map(Some)
    }
}

/// LN(x + residual), (N, H) + (N, H) -> (N, H).
pub(crate) struct AddLayerNorm(LayerNormWeights);

impl AddLayerNorm {
    pub(crate) fn forward(
        weights: &LayerNormWeights,
        x: &Tensor,
        residual: &Tensor,
    ) -> Result<Tensor> {
        x.apply_op2(residual, Self(weights.clone()))
    }
}

fn both(x: &[f32], residual: &[f32]) -> Vec<f32> {
    x.iter().zip(residual).map(|(x, r)| x + r).collect()
}

impl CustomOp2 for AddLayerNorm {
    fn name(&self) -> &'static str {
        "add-layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let width = self.0.width();
        if x_layout.shape() != residual_layout.shape() || x_layout.dims().last() != Some(&width) {
            bail!("expected two (N, {width}), got {x_layout:?} and {residual_layout:?}");
        }
        let mut y = both(values(x, x_layout)?, values(residual, residual_layout)?);
        self.0.normalise_rows(&mut y);
        Ok(output(y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let rows = with_values(x, |x| with_values(residual, |r| Ok(both(x, r))))?;
        let dx = self.0.gradients(rows, gradient)?;
        Ok((Some(dx.clone()), Some(dx)))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device, Var};

    use super::*;
    use crate::ops::linear::tests::{assert_close, random};

    fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        let centred = x
            .broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap())
            .unwrap();
        let variance = centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap();
        let normal = centred.broadcast_div(&(variance + 1e-12).unwrap().sqrt().unwrap());
        let scaled = normal.unwrap().broadcast_mul(weight).unwrap();
        scaled.broadcast_add(bias).unwrap()
    }

    #[test]
    fn value_and_gradients_equal_plain_candle() {
        for (rows, width) in [(1, 2), (3, 5), (4, 32), (5, 67)] {
            let [weight, bias] = [3, 4].map(|seed| random((1, width), seed));
            let list = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let weights = LayerNormWeights::new(list(&weight), list(&bias), 1e-12);
            let var = |seed| Var::from_tensor(&random((rows, width), seed)).unwrap();
            let (x, residual) = (var(1), var(2));
            let ours = AddLayerNorm::forward(&weights, &x, &residual).unwrap();
            let added = (x.as_tensor() + residual.as_tensor()).unwrap();
            let theirs = plain(&added, &weight, &bias);
            assert_close(&ours, &theirs, 2e-5);
            let dy = random((rows, width), 5);
            for var in [&x, &residual] {
                let gradient = |y: &Tensor| {
                    let loss = (y * &dy).unwrap().sum_all().unwrap();
                    loss.backward().unwrap().get(var).unwrap().clone()
                };
                assert_close(&gradient(&ours), &gradient(&theirs), 2e-3);
            }
            let ours = LayerNorm::forward(&weights, &x).unwrap();
            let theirs = plain(&x, &weight, &bias);
            assert_close(&ours, &theirs, 2e-5);
            let gradient = |y: &Tensor| {
                let loss = (y * &dy).unwrap().sum_all().unwrap();
                loss.backward().unwrap().get(&x).unwrap().clone()
            };
            assert_close(&gradient(&ours), &gradient(&theirs), 2e-3);
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let weights = LayerNormWeights::new(vec![1.0; 3], vec![0.0; 3], 1e-12);
        let zeros = |columns| Tensor::zeros((2, columns), candle_core::DType::F32, &Device::Cpu);
        let x = zeros(4).unwrap();
        assert!(AddLayerNorm::forward(&weights, &x, &x).is_err());
        assert!(LayerNorm::forward(&weights, &x).is_err());
    }
}
