//! Weights in one file and in several, whole and broken.

use std::io::{Cursor, Read, Result as IoResult, Seek, SeekFrom};

use safetensors::Dtype;

use crate::ops::Format;
use crate::testing::{self, Files, NamedTensor, Shape};
use crate::weights::{Bias, LARGE, WeightFile, Weights};
use crate::{BaseModel, Learner, LearnerError};

fn halves() -> [Vec<NamedTensor>; 2] {
    let mut first = testing::weights(Shape::TINY, 3);
    let second = first.split_off(first.len() / 2);
    [first, second]
}

fn load(weights: &[(&str, &[u8])]) -> crate::Result<BaseModel> {
    let files = Files::new(Shape::TINY, 3);
    let weights = weights
        .iter()
        .map(|&(name, bytes)| WeightFile::from_bytes(name, bytes));
    BaseModel::from_files(&files.config, &files.tokenizer, weights)
}

fn scores(base: BaseModel) -> Vec<Vec<f32>> {
    let learner = Learner::new(base, &testing::task(), &testing::lora()).unwrap();
    learner
        .scores(&[learner.encode("the food was warm")])
        .unwrap()
}

#[test]
fn order_of_shards_does_not_matter() {
    let whole = Files::new(Shape::TINY, 3).load().unwrap();
    let [first, second] = halves().map(|half| testing::pack(&half));
    for shards in [
        [("a", &first[..]), ("b", &second[..])],
        [("b", &second), ("a", &first)],
    ] {
        let sharded = load(&shards).unwrap();
        assert_eq!(sharded.parameters(), whole.parameters());
        assert_eq!(scores(sharded), scores(whole.clone()));
    }
}

#[test]
fn a_large_models_halves_stay_halves() {
    use half::{bf16, f16};

    let name = "bert.encoder.layer.0.attention.self.query";
    let narrow = |value: &f32| f16::from_f32(*value).to_le_bytes();
    let brain = |value: &f32| bf16::from_f32(*value).to_le_bytes();
    let tensors = testing::weights(Shape::TINY, 3);
    for (dtype, bytes) in [
        (Dtype::F32, testing::pack(&tensors)),
        (Dtype::F16, pack_with(&tensors, Dtype::F16, narrow)),
        (Dtype::BF16, pack_with(&tensors, Dtype::BF16, brain)),
    ] {
        let read = |bytes_of_all: Option<usize>| {
            let file = WeightFile::from_bytes("model.safetensors", &bytes);
            let mut weights = Weights::new([file], "bert.").unwrap();
            weights.bytes = bytes_of_all.unwrap_or(weights.bytes);
            let format = weights.half(&format!("{name}.weight"));
            (format, weights.linear(name, [32, 32], Bias::With).unwrap())
        };
        let ((small, whole), (large, held)) = (read(None), read(Some(LARGE)));
        assert_eq!(small, None);
        let expected = match dtype {
            Dtype::F16 => Some(Format::F16),
            Dtype::BF16 => Some(Format::BF16),
            _ => None,
        };
        assert_eq!(large, expected);
        assert_eq!(held.weight(), whole.weight());
    }
}

fn pack_with(tensors: &[NamedTensor], dtype: Dtype, narrow: impl Fn(&f32) -> [u8; 2]) -> Vec<u8> {
    testing::pack_as(tensors, dtype, |values| {
        values.iter().flat_map(&narrow).collect()
    })
}

#[test]
fn error_names_the_shard() {
    let [mut first, second] = halves();
    let shape = |first: &[NamedTensor]| {
        let bytes = [testing::pack(first), testing::pack(&second)];
        load(&[
            ("one.safetensors", &bytes[0]),
            ("two.safetensors", &bytes[1]),
        ])
        .unwrap_err()
        .to_string()
    };
    first[0].2[0] = f32::NAN;
    let got = shape(&first);
    assert!(got.starts_with("one.safetensors, tensor "), "{got}");
    let gone = first.remove(0).0;
    let got = shape(&first);
    assert!(got.starts_with("model.safetensors in 2 files"), "{got}");
    assert!(got.contains(&gone), "{got}");
    first.push(second[0].clone());
    let got = shape(&first);
    assert!(
        got.starts_with("two.safetensors cannot be read") && got.contains(&second[0].0),
        "{got}"
    );
}

#[test]
fn lengths_that_lie_are_refused() {
    let whole = testing::pack(&testing::weights(Shape::TINY, 3));
    let refused = |bytes: &[u8], expected: &str| {
        let got = load(&[("w", bytes)]).unwrap_err();
        assert!(matches!(&got, LearnerError::File { file, .. } if file == "w"));
        assert!(got.to_string().contains(expected), "{got}");
    };
    refused(&[], "got 0 bytes");
    refused(&whole[..7], "got 7 bytes");
    refused(&whole[..100], "expected a header of at most 92 bytes");
    refused(&whole[..whole.len() - 1], "as its header says");
    refused(&[&whole[..], b"more"].concat(), "as its header says");
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    refused(&lying, "got 18446744073709551615");
    let overflow = br#"{"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,0]}}"#;
    let overflow = [&(overflow.len() as u64).to_le_bytes()[..], overflow].concat();
    refused(&overflow, "its header is invalid");
}

/// A file that notes the largest piece asked for, and breaks at an offset.
struct Disk<'a> {
    content: Cursor<Vec<u8>>,
    breaks_at: u64,
    largest: &'a mut usize,
}

impl Read for Disk<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        if self.content.position() >= self.breaks_at {
            return Err(std::io::Error::other("the disk is broken"));
        }
        let count = self.content.read(buffer)?;
        // The header is read at once.
        if self.content.position() > 1 << 16 {
            *self.largest = (*self.largest).max(buffer.len());
        }
        Ok(count)
    }
}

impl Seek for Disk<'_> {
    fn seek(&mut self, position: SeekFrom) -> IoResult<u64> {
        self.content.seek(position)
    }
}

#[test]
fn tensors_are_read_in_pieces() {
    let files = Files::new(Shape::MINI, 3);
    let mut largest = 0;
    let mut load = |breaks_at| {
        let disk = Disk {
            content: Cursor::new(files.weights.clone()),
            breaks_at,
            largest: &mut largest,
        };
        let weights = [WeightFile::new("disk", disk)];
        BaseModel::from_files(&files.config, &files.tokenizer, weights)
    };
    load(u64::MAX).unwrap();
    let got = load(1 << 20).unwrap_err().to_string();
    assert_eq!(got, "disk cannot be read: the disk is broken");
    assert_eq!(largest, 64 << 10);
}
