//! One safetensors file, read tensor by tensor: nothing but its header is held in memory.

use std::fmt;
use std::io::{Cursor, Read, Seek, SeekFrom};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo, TensorView};

use crate::Result;
use crate::error::LearnerError;

/// Most bytes of a header, as in the safetensors library.
const HEADER_LIMIT: u64 = 100_000_000;
/// Bytes of the length in front of the header.
const PREFIX: u64 = 8;
/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// What weights are read from.
trait Content: Read + Seek {}
impl<T: Read + Seek> Content for T {}

/// A file of weights: its content, and the name that errors give it.
///
/// The content is read piece by piece, so a model needs the memory of its tensors and no more when
/// the content is on disk.
pub struct WeightFile<'a> {
    name: String,
    content: Box<dyn Content + 'a>,
}

impl<'a> WeightFile<'a> {
    /// Weights that are read while the model is made, from an open file say.
    pub fn new(name: impl Into<String>, content: impl Read + Seek + 'a) -> Self {
        Self {
            name: name.into(),
            content: Box::new(content),
        }
    }

    /// Weights in memory.
    pub fn from_bytes(name: impl Into<String>, content: &'a [u8]) -> Self {
        Self::new(name, Cursor::new(content))
    }
}

impl fmt::Debug for WeightFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        f.debug_struct("WeightFile")
            .field("name", name)
            .finish_non_exhaustive()
    }
}

/// A file whose header has been read and checked against its length.
#[derive(Debug)]
pub(super) struct Tensors<'a> {
    file: WeightFile<'a>,
    metadata: Metadata,
    /// Where the tensors begin.
    start: u64,
}

impl<'a> Tensors<'a> {
    pub(super) fn open(mut file: WeightFile<'a>) -> Result<Self> {
        let refused = |name: &str, reason: String| LearnerError::file(name, reason);
        let (header, length) =
            header(&mut *file.content).map_err(|error| refused(&file.name, error.to_string()))?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| refused(&file.name, format!("its header is invalid: {error}")))?;
        let start = PREFIX + header.len() as u64;
        let promised = start.saturating_add(metadata.data_len() as u64);
        if promised != length {
            let reason = format!("expected {promised} bytes as its header says, got {length}");
            return Err(refused(&file.name, reason));
        }
        Ok(Self {
            file,
            metadata,
            start,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.file.name
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// Bytes of all tensors.
    pub(super) fn bytes(&self) -> usize {
        self.metadata.data_len()
    }

    pub(super) fn dtype(&self, tensor: &str) -> Option<Dtype> {
        Some(self.metadata.info(tensor)?.dtype)
    }

    pub(super) fn has(&self, tensor: &str) -> bool {
        self.metadata.info(tensor).is_some()
    }

    /// The tensor's values, when its shape is the expected one and all of them are finite; and its
    /// type in the file.
    pub(super) fn read(&mut self, tensor: &str, expected: &[usize]) -> Result<(Vec<f32>, Dtype)> {
        let Some(info) = self.metadata.info(tensor).cloned() else {
            return Err(LearnerError::MissingTensor {
                file: self.file.name.clone(),
                tensor: tensor.into(),
                expected: expected.to_vec(),
            });
        };
        if info.shape != expected {
            return Err(LearnerError::TensorShape {
                file: self.file.name.clone(),
                tensor: tensor.into(),
                expected: expected.to_vec(),
                got: info.shape,
            });
        }
        let Some(convert) = converter(info.dtype) else {
            return Err(LearnerError::TensorType {
                file: self.file.name.clone(),
                tensor: tensor.into(),
                got: format!("{:?}", info.dtype),
            });
        };
        let values = self
            .values(&info, convert)
            .map_err(|error| LearnerError::file(&*self.file.name, error))?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok((values, info.dtype)),
            Some(index) => Err(LearnerError::TensorValue {
                file: self.file.name.clone(),
                tensor: tensor.into(),
                index,
                got: values[index].to_string(),
            }),
        }
    }

    /// Whether a tensor here has the type, shape and bytes of one in `other`, or here if none.
    pub(super) fn has_same(
        &mut self,
        tensor: &str,
        mut other: Option<&mut Tensors<'a>>,
        other_tensor: &str,
    ) -> Result<bool> {
        let elsewhere = other.as_deref().unwrap_or(self);
        let (Some(one), Some(two)) = (
            self.metadata.info(tensor).cloned(),
            elsewhere.metadata.info(other_tensor).cloned(),
        ) else {
            return Ok(false);
        };
        if one.dtype != two.dtype || one.shape != two.shape {
            return Ok(false);
        }
        let size = one.data_offsets.1 - one.data_offsets.0;
        let [mut first, mut second] = [(); 2].map(|()| vec![0; PIECE.min(size)]);
        for at in (0..size).step_by(PIECE) {
            let length = PIECE.min(size - at);
            self.piece(&one, at, &mut first[..length])?;
            let elsewhere = other.as_deref_mut().unwrap_or(self);
            elsewhere.piece(&two, at, &mut second[..length])?;
            if first[..length] != second[..length] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Fills `piece` with a tensor's bytes from its byte `at` on.
    fn piece(&mut self, info: &TensorInfo, at: usize, piece: &mut [u8]) -> Result<()> {
        let start = self.start + (info.data_offsets.0 + at) as u64;
        let content = &mut self.file.content;
        let read = content.seek(SeekFrom::Start(start));
        let read = read.and_then(|_| content.read_exact(piece));
        read.map_err(|error| LearnerError::file(&*self.file.name, error))
    }

    fn values(&mut self, info: &TensorInfo, convert: Converter) -> std::io::Result<Vec<f32>> {
        let (from, to) = info.data_offsets;
        let mut rest = to - from;
        let content = &mut self.file.content;
        content.seek(SeekFrom::Start(self.start + from as u64))?;
        let mut values = Vec::with_capacity(info.shape.iter().product());
        let mut piece = vec![0; PIECE.min(rest)];
        while rest > 0 {
            let piece = &mut piece[..PIECE.min(rest)];
            content.read_exact(piece)?;
            convert(piece, &mut values);
            rest -= piece.len();
        }
        Ok(values)
    }
}

/// The header, and the length of the whole.
fn header(content: &mut dyn Content) -> std::io::Result<(Vec<u8>, u64)> {
    let wrong = |reason: String| std::io::Error::new(std::io::ErrorKind::InvalidData, reason);
    let length = content.seek(SeekFrom::End(0))?;
    content.seek(SeekFrom::Start(0))?;
    if length < PREFIX {
        return Err(wrong(format!(
            "expected a safetensors file, got {length} bytes"
        )));
    }
    let mut prefix = [0; PREFIX as usize];
    content.read_exact(&mut prefix)?;
    let size = u64::from_le_bytes(prefix);
    let most = HEADER_LIMIT.min(length - PREFIX);
    if size > most {
        return Err(wrong(format!(
            "expected a header of at most {most} bytes, got {size}"
        )));
    }
    let mut header = vec![0; size as usize];
    content.read_exact(&mut header)?;
    Ok((header, length))
}

/// A tensor's values; none for types that are not f32, f16 or bf16.
pub(crate) fn to_f32(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let convert = converter(view.dtype())?;
    let mut values = Vec::with_capacity(view.shape().iter().product());
    convert(view.data(), &mut values);
    Some(values)
}

/// Appends the values of a whole number of elements.
type Converter = fn(&[u8], &mut Vec<f32>);

fn converter(dtype: Dtype) -> Option<Converter> {
    match dtype {
        Dtype::F32 => Some(|piece, values| {
            let quads = piece.as_chunks::<4>().0;
            values.extend(quads.iter().map(|&quad| f32::from_le_bytes(quad)));
        }),
        Dtype::F16 => Some(|piece, values| {
            let pairs = piece.as_chunks::<2>().0;
            values.extend(
                pairs
                    .iter()
                    .map(|&pair| half::f16::from_le_bytes(pair).to_f32()),
            );
        }),
        Dtype::BF16 => Some(|piece, values| {
            let pairs = piece.as_chunks::<2>().0;
            values.extend(
                pairs
                    .iter()
                    .map(|&pair| half::bf16::from_le_bytes(pair).to_f32()),
            );
        }),
        _ => None,
    }
}
