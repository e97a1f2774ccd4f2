//! Named tensors of a safetensors file, as f32.

use std::collections::HashMap;

use candle_core::{DType, Device, Error, Result, Tensor, safetensors};

/// The tensors of one file.
#[derive(Clone, Debug)]
pub(crate) struct Tensors(HashMap<String, Tensor>);

impl Tensors {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        safetensors::load_buffer(bytes, &Device::Cpu).map(Self)
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor> {
        let found = self.0.get(name);
        found
            .ok_or_else(|| Error::Msg(format!("the file has no tensor {name}")))?
            .to_dtype(DType::F32)
    }
}
