//! Reads named tensors out of a safetensors file, checked and as f32.

use candle_core::{Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{LearnerError, WEIGHTS};
use crate::{Result, ops::FrozenLinear, ops::LayerNormWeights};

/// The tensors of one file, read by name; counts the parameters it hands out.
pub(crate) struct Weights<'a> {
    file: SafeTensors<'a>,
    parameters: u64,
}

impl<'a> Weights<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| LearnerError::file(WEIGHTS, e))?;
        Ok(Self {
            file,
            parameters: 0,
        })
    }

    pub(crate) fn parameters(&self) -> u64 {
        self.parameters
    }

    /// The tensor under the first of `names` that the file has; each is also looked for without
    /// the prefix `bert.`, which models saved without their head lack.
    pub(crate) fn find(&mut self, names: &[&str], shape: &[usize]) -> Result<Option<Vec<f32>>> {
        for &name in names {
            for name in [name, name.strip_prefix("bert.").unwrap_or(name)] {
                if let Ok(view) = self.file.tensor(name) {
                    return self.read(name, &view, shape).map(Some);
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn values(&mut self, names: &[&str], shape: &[usize]) -> Result<Vec<f32>> {
        self.find(names, shape)?
            .ok_or_else(|| LearnerError::MissingTensor {
                tensor: names.first().copied().unwrap_or_default().to_owned(),
                expected: shape.to_vec(),
            })
    }

    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let values = self.values(&[name], shape)?;
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    /// `{name}.weight` (out, in) and `{name}.bias` (out).
    pub(crate) fn linear(
        &mut self,
        name: &str,
        output: usize,
        input: usize,
    ) -> Result<FrozenLinear> {
        let weight = self.tensor(&format!("{name}.weight"), &[output, input])?;
        let bias = self.values(&[&format!("{name}.bias")], &[output])?;
        Ok(FrozenLinear::new(weight, bias))
    }

    /// `{name}.weight` and `{name}.bias`, called gamma and beta in models of 2018.
    pub(crate) fn layer_norm(
        &mut self,
        name: &str,
        size: usize,
        epsilon: f64,
    ) -> Result<LayerNormWeights> {
        let [weight, gamma, bias, beta] =
            ["weight", "gamma", "bias", "beta"].map(|part| format!("{name}.{part}"));
        let weight = self.values(&[&weight, &gamma], &[size])?;
        let bias = self.values(&[&bias, &beta], &[size])?;
        Ok(LayerNormWeights::new(weight, bias, epsilon))
    }

    fn read(&mut self, name: &str, view: &TensorView<'_>, expected: &[usize]) -> Result<Vec<f32>> {
        if view.shape() != expected {
            return Err(LearnerError::TensorShape {
                tensor: name.into(),
                expected: expected.to_vec(),
                got: view.shape().to_vec(),
            });
        }
        let values = to_f32(view).ok_or_else(|| LearnerError::TensorType {
            tensor: name.into(),
            got: format!("{:?}", view.dtype()),
        })?;
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(LearnerError::TensorValue {
                tensor: name.into(),
                index,
                got: values[index].to_string(),
            });
        }
        self.parameters += values.len() as u64;
        Ok(values)
    }
}

fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = view.data();
    let half = |from: fn([u8; 2]) -> f32| {
        let pairs = data.as_chunks::<2>().0;
        pairs.iter().map(|&pair| from(pair)).collect()
    };
    match view.dtype() {
        Dtype::F32 => {
            let quads = data.as_chunks::<4>().0;
            Some(quads.iter().map(|&quad| f32::from_le_bytes(quad)).collect())
        }
        Dtype::F16 => Some(half(|pair| half::f16::from_le_bytes(pair).to_f32())),
        Dtype::BF16 => Some(half(|pair| half::bf16::from_le_bytes(pair).to_f32())),
        _ => None,
    }
}
