//! Reads named tensors out of safetensors files, checked and as f32.

mod file;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use safetensors::Dtype;

use crate::error::{LearnerError, WEIGHTS};
use crate::{Result, ops::FrozenLinear, ops::LayerNormWeights};

use file::Tensors;
pub use file::WeightFile;
pub(crate) use file::to_f32;

/// The tensors of all files, read by name; counts the parameters it hands out.
pub(crate) struct Weights<'a> {
    files: Vec<Tensors<'a>>,
    parameters: u64,
    stored: BTreeMap<Dtype, u64>,
}

impl<'a> Weights<'a> {
    /// Reads the files' headers.
    pub(crate) fn new(files: impl IntoIterator<Item = WeightFile<'a>>) -> Result<Self> {
        let files: Vec<_> = files
            .into_iter()
            .map(Tensors::open)
            .collect::<Result<_>>()?;
        check_names(&files)?;
        Ok(Self {
            files,
            parameters: 0,
            stored: BTreeMap::new(),
        })
    }

    /// Parameters handed out so far.
    pub(crate) fn parameters(&self) -> u64 {
        self.parameters
    }

    /// Parameters handed out so far by their type in the files.
    pub(crate) fn stored(&self) -> BTreeMap<String, u64> {
        let named = |(dtype, count): (&Dtype, &u64)| (format!("{dtype:?}"), *count);
        self.stored.iter().map(named).collect()
    }

    /// The tensor under the first of `names` that a file has; each is also looked for without
    /// the prefix `bert.`, which models saved without their head lack.
    pub(crate) fn find(&mut self, names: &[&str], shape: &[usize]) -> Result<Option<Vec<f32>>> {
        for &name in names {
            for name in [name, name.strip_prefix("bert.").unwrap_or(name)] {
                if let Some(file) = self.files.iter_mut().find(|file| file.has(name)) {
                    let (values, dtype) = file.read(name, shape)?;
                    self.parameters += values.len() as u64;
                    *self.stored.entry(dtype).or_default() += values.len() as u64;
                    return Ok(Some(values));
                }
            }
        }
        Ok(None)
    }

    pub(crate) fn values(&mut self, names: &[&str], shape: &[usize]) -> Result<Vec<f32>> {
        if let Some(values) = self.find(names, shape)? {
            return Ok(values);
        }
        let file = match &self.files[..] {
            [file] => file.name().to_owned(),
            files => format!("{WEIGHTS} in {} files", files.len()),
        };
        Err(LearnerError::MissingTensor {
            file,
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
}

/// Refuses a tensor that two files have: which one is meant would be a guess.
fn check_names(files: &[Tensors<'_>]) -> Result<()> {
    let mut seen = BTreeMap::new();
    for file in files {
        for tensor in file.names() {
            if let Some(other) = seen.insert(tensor.clone(), file.name()) {
                let reason = format!("expected the tensor {tensor} once, got it in {other} too");
                return Err(LearnerError::file(file.name(), reason));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
