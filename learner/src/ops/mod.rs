//! Tensor operations with analytic gradients: frozen weights get none, and intermediate results
//! that the backward pass can do without are not kept.
//!
//! All work on packed batches: the tokens of every sequence one after the other as rows (N, H),
//! without padding. Only attention needs to know where a sequence ends.

mod absorbed;
mod activation;
mod attention;
mod feed_forward;
mod gemm;
mod layer_norm;
mod linear;
mod math;
mod rotary;
mod trained;

pub(crate) use absorbed::{mixtures, own_parts};
pub(crate) use activation::Activation;
pub(crate) use attention::{Attention, Queries};
pub(crate) use feed_forward::FeedForward;
pub(crate) use gemm::Format;
pub(crate) use layer_norm::{AddLayerNorm, LayerNorm, LayerNormWeights};
pub(crate) use linear::{FrozenLinear, LoraLinear};
pub(crate) use rotary::{Angles, Rotary};
pub(crate) use trained::{TrainedLayerNorm, TrainedLinear};

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, Layout, Result, Shape, Storage, Tensor, bail};

/// The values of a contiguous f32 tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("expected a contiguous tensor, got {layout:?}"),
    }
}

/// The values of a contiguous f32 tensor, for as long as they are looked at.
struct Values<S> {
    storage: S,
    range: Range<usize>,
}

impl<S: Deref<Target = Storage>> Deref for Values<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => &[],
        }
    }
}

fn read(tensor: &Tensor) -> Result<Values<impl Deref<Target = Storage>>> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => Ok(Values {
            storage,
            range: start..end,
        }),
        _ => bail!("expected contiguous f32 values in main memory, got {layout:?}"),
    }
}

/// The values of a tensor, through `read`; a tensor that is not contiguous is copied first.
fn with_values<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> Result<T>) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => read(values(storage, layout)?),
        _ => bail!("expected a tensor in main memory"),
    }
}

fn output(values: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(values), shape.into())
}
