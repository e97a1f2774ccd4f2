//! Bodies of binary frames: safetensors files of matrices.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, View};

use super::{CodecError, FRAME_LIMIT, MATRICES_LIMIT};
use crate::adapter::{Adapter, Matrix};
use crate::compression::half;

/// Most values of a body, whatever their type: as many as f32 values fit in a frame. Whole numbers
/// below it are exact in f32.
const VALUES_LIMIT: usize = FRAME_LIMIT / 4;

/// How a matrix's values travel; here they are f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Four bytes.
    F32,
    /// Half precision, two bytes.
    F16,
    /// Whole numbers from −128 to 127, one byte.
    I8,
    /// Whole numbers from 0 to below 2^24, four bytes.
    U32,
}

/// A matrix and the type that it travels in.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The type.
    pub kind: Type,
    /// The values, which the type rounds if it must.
    pub matrix: Matrix,
}

impl Type {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 => 2,
            Self::I8 => 1,
        }
    }

    fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::I8 => Some(Self::I8),
            Dtype::U32 => Some(Self::U32),
            _ => None,
        }
    }

    fn dtype(self) -> Dtype {
        match self {
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::I8 => Dtype::I8,
            Self::U32 => Dtype::U32,
        }
    }

    fn encode(self, values: &[f32], body: &mut Vec<u8>) {
        match self {
            Self::F32 => append(values, body, f32::to_le_bytes),
            Self::F16 => append(values, body, |v| half::from_f32(v).to_le_bytes()),
            // The casts saturate.
            Self::I8 => append(values, body, |v| (v as i8).to_le_bytes()),
            Self::U32 => append(values, body, |v| (v as u32).to_le_bytes()),
        }
    }

    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => chunks(bytes).map(f32::from_le_bytes).collect(),
            Self::F16 => chunks(bytes)
                .map(|b| half::to_f32(u16::from_le_bytes(b)))
                .collect(),
            Self::I8 => chunks(bytes).map(|b| i8::from_le_bytes(b).into()).collect(),
            Self::U32 => chunks(bytes)
                .map(|b| u32::from_le_bytes(b) as f32)
                .collect(),
        }
    }
}

/// Appends the bytes of all values. In this form the compiler copies many at once.
fn append<const N: usize>(values: &[f32], body: &mut Vec<u8>, encode: impl Fn(f32) -> [u8; N]) {
    let start = body.len();
    body.resize(start + N * values.len(), 0);
    let places = body[start..].as_chunks_mut().0;
    for (place, &value) in places.iter_mut().zip(values) {
        *place = encode(value);
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// An adapter as a safetensors file of f32 matrices, with PEFT's `format` metadata.
pub fn encode_adapter(adapter: &Adapter) -> Vec<u8> {
    let mut body = Vec::new();
    append_adapter(adapter, &mut body);
    body
}

/// Matrices of several types as a safetensors file.
pub fn encode_tensors(tensors: &BTreeMap<String, Tensor>) -> Vec<u8> {
    let mut body = Vec::new();
    let entries = tensors.iter();
    append_file(
        entries.map(|(name, tensor)| (name, tensor.kind, &tensor.matrix)),
        &mut body,
    );
    body
}

/// [`encode_adapter`] behind what is there already.
pub(super) fn append_adapter(adapter: &Adapter, bytes: &mut Vec<u8>) {
    let entries = adapter.matrices.iter();
    append_file(
        entries.map(|(name, matrix)| (name, Type::F32, matrix)),
        bytes,
    );
}

/// A tensor as a file's description has it: its data follow elsewhere.
struct Described {
    kind: Type,
    shape: [usize; 2],
}

impl View for Described {
    fn dtype(&self) -> Dtype {
        self.kind.dtype()
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&[])
    }

    fn data_len(&self) -> usize {
        self.kind.bytes() * self.shape[0] * self.shape[1]
    }
}

/// The description is the library's; values go to their place at once, without a copy of them all.
fn append_file<'a>(
    tensors: impl Iterator<Item = (&'a String, Type, &'a Matrix)>,
    bytes: &mut Vec<u8>,
) {
    // A matrix whose values do not fit its shape cannot be described.
    let is_whole = |matrix: &Matrix| matrix.values.len() == matrix.rows * matrix.columns;
    let mut tensors: Vec<_> = tensors.filter(|(.., matrix)| is_whole(matrix)).collect();
    // The order of the format: wide types first, then by name.
    tensors.sort_by_key(|(name, kind, _)| (Reverse(kind.dtype()), *name));
    let described = tensors.iter().map(|&(name, kind, matrix)| {
        let shape = [matrix.rows, matrix.columns];
        (name, Described { kind, shape })
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    // Fails only for a description of more than 100 MB, far above what a frame may have.
    let Ok(description) = safetensors::serialize(described, Some(metadata)) else {
        return;
    };
    // Gone before there is room for the values: the library has given it as much as the whole file.
    bytes.extend(description);
    let size = |&(_, kind, matrix): &(_, Type, &Matrix)| kind.bytes() * matrix.values.len();
    bytes.reserve(tensors.iter().map(size).sum());
    for (_, kind, matrix) in tensors {
        kind.encode(&matrix.values, bytes);
    }
}

/// Reads matrices from safetensors bytes, in whatever type of [`Type`] they travelled.
///
/// # Errors
/// [`CodecError::Body`] unless they hold matrices of those types only, at most [`MATRICES_LIMIT`],
/// with no more values than f32 values fit in a frame.
pub fn decode_adapter(bytes: &[u8]) -> Result<Adapter, CodecError> {
    decode_adapters(bytes, 1)
}

/// Reads a body that holds the matrices of so many adapters.
pub(crate) fn decode_adapters(bytes: &[u8], adapters: usize) -> Result<Adapter, CodecError> {
    let body = |error: String| CodecError::Body(error);
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| body(error.to_string()))?;
    within_limit(tensors.len(), adapters * MATRICES_LIMIT, "matrices")?;
    let mut matrices = BTreeMap::new();
    let mut total = 0usize;
    for (name, view) in tensors.iter() {
        let (Some(kind), &[rows, columns]) = (Type::of(view.dtype()), view.shape()) else {
            let (dtype, shape) = (view.dtype(), view.shape());
            return Err(body(format!(
                "{name}: expected a matrix of F32, F16, I8 or U32, got {dtype:?} {shape:?}"
            )));
        };
        total = total.saturating_add(view.data().len() / kind.bytes());
        within_limit(total, adapters * VALUES_LIMIT, "values")?;
        let values = kind.decode(view.data());
        matrices.insert(
            name.to_owned(),
            Matrix {
                rows,
                columns,
                values,
            },
        );
    }
    Ok(Adapter { matrices })
}

fn within_limit(count: usize, limit: usize, what: &str) -> Result<(), CodecError> {
    if count <= limit {
        return Ok(());
    }
    let error = format!("{count} {what}, expected at most {limit}");
    Err(CodecError::Body(error))
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    #[test]
    fn body_is_what_the_library_writes() {
        let types = [Type::I8, Type::F32, Type::F16, Type::U32, Type::F32];
        let tensors: BTreeMap<String, Tensor> = (1..)
            .zip(types)
            .map(|(rows, kind)| {
                let matrix = Matrix {
                    rows,
                    columns: 3,
                    values: (0..3 * rows).map(|value| value as f32).collect(),
                };
                (format!("w{rows}"), Tensor { kind, matrix })
            })
            .collect();
        let data: BTreeMap<&String, Vec<u8>> = tensors
            .iter()
            .map(|(name, tensor)| {
                let mut data = Vec::new();
                tensor.kind.encode(&tensor.matrix.values, &mut data);
                (name, data)
            })
            .collect();
        let views = tensors.iter().map(|(name, Tensor { kind, matrix })| {
            let shape = vec![matrix.rows, matrix.columns];
            let view = TensorView::new(kind.dtype(), shape, &data[name]);
            (name, view.unwrap())
        });
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        let theirs = safetensors::serialize(views, Some(metadata)).unwrap();
        assert_eq!(encode_tensors(&tensors), theirs);
    }

    #[test]
    fn body_with_other_types_is_refused() {
        let bytes = [0; 8];
        let view = TensorView::new(Dtype::F64, vec![1, 1], &bytes).unwrap();
        let file = safetensors::serialize([("w", view)], None).unwrap();
        let error = decode_adapter(&file).unwrap_err().to_string();
        assert!(
            error.contains("w: expected a matrix of F32, F16, I8 or U32, got F64 [1, 1]"),
            "{error}"
        );
    }

    #[test]
    fn every_type_carries_its_numbers() {
        let numbers: [(Type, &[f32]); 4] = [
            (Type::F32, &[0.1, -3e9]),
            (Type::F16, &[0.5, -2048.0]),
            (Type::I8, &[-128.0, 127.0]),
            (Type::U32, &[0.0, 16_777_215.0]),
        ];
        for (kind, values) in numbers {
            let matrix = Matrix {
                rows: 2,
                columns: 1,
                values: values.to_vec(),
            };
            let tensors = [("w".to_owned(), Tensor { kind, matrix })].into();
            let back = decode_adapter(&encode_tensors(&tensors)).unwrap();
            assert_eq!(back.matrices["w"], tensors["w"].matrix, "{kind:?}");
        }
    }

    #[test]
    fn more_values_than_a_frame_holds_are_refused() {
        let bytes = vec![0; VALUES_LIMIT + 1];
        let view = TensorView::new(Dtype::I8, vec![1, VALUES_LIMIT + 1], &bytes).unwrap();
        let file = safetensors::serialize([("w", view)], None).unwrap();
        let error = decode_adapter(&file).unwrap_err().to_string();
        assert!(error.contains("16777217 values"), "{error}");
    }
}
