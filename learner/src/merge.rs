//! Merges an adapter into its base model: the weights of a whole model, tensor by tensor.
//!
//! Every tensor keeps the name and shape that it has in the base model's files; those of adapted
//! projections become W + scale · B · A (Hu et al. 2021, section 4.1).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use fl_core::adapter::Matrix;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::error::{LearnerError, WEIGHTS};
use crate::model::BaseModel;
use crate::peft::PeftAdapter;
use crate::weights::to_f32;

/// The number format of merged weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits: nothing is rounded.
    #[default]
    F32,
    /// 16 bits, half the size; values of 65,520 and more are refused.
    F16,
}

/// A merged `model.safetensors` that is made while it is written.
#[derive(Debug)]
pub struct Merge<'a> {
    header: Vec<u8>,
    tensors: Vec<(String, TensorView<'a>)>,
    adapter: &'a PeftAdapter,
    /// By the name of a tensor in the file, the names of its A and B.
    adapted: BTreeMap<String, [String; 2]>,
    precision: Precision,
}

impl<'a> Merge<'a> {
    /// Plans the merge of an adapter that was read for `base` into the base model's files of
    /// weights: one, or its shards.
    ///
    /// # Errors
    /// A file that is no safetensors, a tensor that two of them hold, and a tensor of an adapted
    /// projection that none of them holds.
    pub fn new(
        base: &BaseModel,
        files: &[&'a [u8]],
        adapter: &'a PeftAdapter,
        precision: Precision,
    ) -> Result<Self> {
        let mut found = BTreeMap::new();
        for bytes in files {
            let file = SafeTensors::deserialize(bytes);
            let file = file.map_err(|error| LearnerError::file(WEIGHTS, error))?;
            for (name, view) in file.iter() {
                if found.insert(name.to_owned(), view).is_some() {
                    let reason = format!("tensor {name} is in two shards");
                    return Err(LearnerError::file(WEIGHTS, reason));
                }
            }
        }
        let mut adapted = BTreeMap::new();
        for part in &base.parts().projections {
            if base.adapts(&adapter.lora, part) {
                let name = format!("{}.weight", part.path);
                let bare = name.split_once('.').map_or(name.as_str(), |(_, bare)| bare);
                let names = [name.as_str(), bare].into_iter();
                let Some(name) = names.into_iter().find(|&name| found.contains_key(name)) else {
                    let (output, input) = part.linear.widths();
                    let expected = vec![output, input];
                    return Err(LearnerError::MissingTensor {
                        file: WEIGHTS.into(),
                        tensor: name,
                        expected,
                    });
                };
                adapted.insert(name.to_owned(), part.lora_names());
            }
        }
        let mut tensors: Vec<_> = found.into_iter().collect();
        // Wide numbers first, so that every tensor begins at a multiple of its own width.
        tensors.sort_by_key(|(_, view)| Reverse(bits(stored(view.dtype(), precision))));
        Ok(Self {
            header: header(&tensors, precision)?,
            tensors,
            adapter,
            adapted,
            precision,
        })
    }

    /// The file's pieces in order, a tensor at a time: all of them together are the file.
    ///
    /// # Errors
    /// [`LearnerError::TensorValue`] for a merged value that the precision cannot hold.
    pub fn pieces(&self) -> impl Iterator<Item = Result<Vec<u8>>> {
        let tensors = self.tensors.iter();
        let tensors = tensors.map(|(name, view)| self.tensor(name, view));
        std::iter::once(Ok(self.header.clone())).chain(tensors)
    }

    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        let bytes = |(_, view): &(String, TensorView<'_>)| stored_bytes(view, self.precision);
        self.header.len() as u64 + self.tensors.iter().map(bytes).sum::<u64>()
    }

    fn tensor(&self, name: &str, view: &TensorView<'_>) -> Result<Vec<u8>> {
        let names = self.adapted.get(name);
        let kept = view.dtype() == stored(view.dtype(), self.precision);
        let (None, true) = (names, kept) else {
            let Some(values) = to_f32(view) else {
                return Err(LearnerError::TensorType {
                    file: WEIGHTS.into(),
                    tensor: name.into(),
                    got: format!("{:?}", view.dtype()),
                });
            };
            let values = match names {
                Some(names) => self.merged(name, values, view.shape(), names)?,
                None => values,
            };
            return encode(name, &values, self.precision);
        };
        Ok(view.data().to_vec())
    }

    /// W + scale · B · A
    fn merged(
        &self,
        name: &str,
        values: Vec<f32>,
        shape: &[usize],
        names: &[String; 2],
    ) -> Result<Vec<f32>> {
        let matrices = &self.adapter.adapter.matrices;
        let [Some(a), Some(b)] = names.each_ref().map(|name| matrices.get(name)) else {
            let expected = format!("the matrices of {name}");
            return Err(LearnerError::argument("adapter", expected, "others"));
        };
        if shape != [b.rows, a.columns] {
            return Err(LearnerError::TensorShape {
                file: WEIGHTS.into(),
                tensor: name.into(),
                expected: vec![b.rows, a.columns],
                got: shape.to_vec(),
            });
        }
        let tensor = |matrix: &Matrix| {
            let shape = (matrix.rows, matrix.columns);
            Tensor::from_slice(&matrix.values, shape, &Device::Cpu)
        };
        let scale = f64::from(self.adapter.lora.scale());
        let delta = (tensor(b)?.matmul(&tensor(a)?)? * scale)?;
        let weight = Tensor::from_vec(values, shape, &Device::Cpu)?;
        Ok((weight + delta)?.flatten_all()?.to_vec1()?)
    }
}

/// Length (u64, little-endian) and JSON of a safetensors file, filled up with blanks to a multiple
/// of 8 bytes.
fn header(tensors: &[(String, TensorView<'_>)], precision: Precision) -> Result<Vec<u8>> {
    let mut fields = Map::new();
    fields.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut start = 0;
    for (name, view) in tensors {
        let end = start + stored_bytes(view, precision);
        let dtype = serde_json::to_value(stored(view.dtype(), precision))
            .map_err(|error| LearnerError::file(WEIGHTS, error))?;
        let place = json!({
            "dtype": dtype,
            "shape": view.shape(),
            "data_offsets": [start, end],
        });
        fields.insert(name.clone(), place);
        start = end;
    }
    let mut json = Value::Object(fields).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    Ok(header)
}

/// The type under which a tensor is written; what is no weight stays as it is.
fn stored(dtype: Dtype, precision: Precision) -> Dtype {
    match (dtype, precision) {
        (Dtype::F32 | Dtype::F16 | Dtype::BF16, Precision::F32) => Dtype::F32,
        (Dtype::F32 | Dtype::F16 | Dtype::BF16, Precision::F16) => Dtype::F16,
        (other, _) => other,
    }
}

fn stored_bytes(view: &TensorView<'_>, precision: Precision) -> u64 {
    let (from, to) = (view.dtype(), stored(view.dtype(), precision));
    let elements = view.data().len() as u64 * 8 / bits(from);
    elements * bits(to) / 8
}

fn bits(dtype: Dtype) -> u64 {
    dtype.bitsize() as u64
}

fn encode(name: &str, values: &[f32], precision: Precision) -> Result<Vec<u8>> {
    let bytes: Vec<u8> = match precision {
        Precision::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Precision::F16 => {
            let halves = values.iter().map(|&value| half::f16::from_f32(value));
            halves.flat_map(half::f16::to_le_bytes).collect()
        }
    };
    let fits = |value: f32| match precision {
        Precision::F32 => value.is_finite(),
        Precision::F16 => half::f16::from_f32(value).is_finite(),
    };
    match values.iter().position(|&value| !fits(value)) {
        None => Ok(bytes),
        Some(index) => Err(LearnerError::TensorValue {
            file: WEIGHTS.into(),
            tensor: name.into(),
            index,
            got: values[index].to_string(),
        }),
    }
}

#[cfg(test)]
mod tests;
