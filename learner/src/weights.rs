//! Reads named tensors out of safetensors files, checked and as f32.

mod file;

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use safetensors::Dtype;

use crate::Result;
use crate::error::{LearnerError, WEIGHTS};
use crate::ops::{Format, FrozenLinear, LayerNormWeights};

use file::Tensors;
pub use file::WeightFile;
pub(crate) use file::to_f32;

/// From so many bytes of weights on those in 16 bits stay as they are: half the memory then counts
/// for more than the work of widening them in every product.
const LARGE: usize = 64 << 20;

/// The tensors of all files, read by name; counts the parameters it hands out.
pub(crate) struct Weights<'a> {
    files: Vec<Tensors<'a>>,
    /// Bytes of all tensors.
    bytes: usize,
    /// What models saved without their head lack in front of every name, with its dot.
    prefix: &'static str,
    parameters: u64,
    stored: BTreeMap<Dtype, u64>,
}

/// Whether a layer has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bias {
    With,
    Without,
}

impl Bias {
    /// As the configuration says.
    pub(crate) fn new(is_present: bool) -> Self {
        match is_present {
            true => Self::With,
            false => Self::Without,
        }
    }
}

impl<'a> Weights<'a> {
    /// Reads the files' headers. Tensors may also stand under their names without `prefix`.
    pub(crate) fn new(
        files: impl IntoIterator<Item = WeightFile<'a>>,
        prefix: &'static str,
    ) -> Result<Self> {
        let files: Vec<_> = files
            .into_iter()
            .map(Tensors::open)
            .collect::<Result<_>>()?;
        check_names(&files)?;
        Ok(Self {
            bytes: files.iter().map(Tensors::bytes).sum(),
            files,
            prefix,
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

    /// What an error about no file in particular calls the weights.
    pub(crate) fn file(&self) -> String {
        match &self.files[..] {
            [file] => file.name().to_owned(),
            files => format!("{WEIGHTS} in {} files", files.len()),
        }
    }

    /// Whether there is a tensor of this name, with or without the prefix.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// Whether both tensors are there with the same type, shape and bytes.
    pub(crate) fn are_same(&mut self, one: &str, other: &str) -> Result<bool> {
        let (Some((one_file, one)), Some((other_file, other))) =
            (self.place(one), self.place(other))
        else {
            return Ok(false);
        };
        let (one_file, other_file) = match self.files.get_disjoint_mut([one_file, other_file]) {
            Ok([one, other]) => (one, Some(other)),
            Err(_) => (&mut self.files[one_file], None),
        };
        one_file.has_same(&one, other_file, &other)
    }

    /// The file and the name that a tensor has there.
    fn place(&self, name: &str) -> Option<(usize, String)> {
        let names = [Some(name), name.strip_prefix(self.prefix)];
        names.into_iter().flatten().find_map(|name| {
            let file = self.files.iter().position(|file| file.has(name))?;
            Some((file, name.to_owned()))
        })
    }

    /// The tensor under the first of `names` that a file has.
    pub(crate) fn find(&mut self, names: &[&str], shape: &[usize]) -> Result<Option<Vec<f32>>> {
        let Some((file, name)) = names.iter().find_map(|name| self.place(name)) else {
            return Ok(None);
        };
        let (values, dtype) = self.files[file].read(&name, shape)?;
        self.parameters += values.len() as u64;
        *self.stored.entry(dtype).or_default() += values.len() as u64;
        Ok(Some(values))
    }

    /// The format of 16 bits that this tensor stays in: that of the file, where the model is large.
    fn half(&self, name: &str) -> Option<Format> {
        let (file, name) = self.place(name)?;
        match self.files[file].dtype(&name)? {
            _ if self.bytes < LARGE => None,
            Dtype::F16 => Some(Format::F16),
            Dtype::BF16 => Some(Format::BF16),
            _ => None,
        }
    }

    pub(crate) fn values(&mut self, names: &[&str], shape: &[usize]) -> Result<Vec<f32>> {
        if let Some(values) = self.find(names, shape)? {
            return Ok(values);
        }
        Err(LearnerError::MissingTensor {
            file: self.file(),
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
        shape: [usize; 2],
        bias: Bias,
    ) -> Result<FrozenLinear> {
        let weight_name = format!("{name}.weight");
        let weight = self.values(&[&weight_name], &shape)?;
        let bias = match bias {
            Bias::With => self.values(&[&format!("{name}.bias")], &shape[..1])?,
            Bias::Without => Vec::new(),
        };
        let half = self.half(&weight_name);
        Ok(FrozenLinear::held(&weight, shape, bias, half))
    }

    /// `{name}.weight` and `{name}.bias`, called gamma and beta in models of 2018.
    pub(crate) fn layer_norm(
        &mut self,
        name: &str,
        size: usize,
        epsilon: f64,
        bias: Bias,
    ) -> Result<LayerNormWeights> {
        let [weight, gamma, shift, beta] =
            ["weight", "gamma", "bias", "beta"].map(|part| format!("{name}.{part}"));
        let weight = self.values(&[&weight, &gamma], &[size])?;
        let bias = match bias {
            Bias::With => self.values(&[&shift, &beta], &[size])?,
            Bias::Without => vec![0.0; size],
        };
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
