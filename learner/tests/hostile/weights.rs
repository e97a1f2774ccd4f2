//! `model.safetensors`: cut off, flipped, lying, incomplete, not finite.

use golden::Model;
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::{Files, refused, seeds};

const FILE: &str = "model.safetensors";

/// The header as JSON, and the bytes behind it.
pub(crate) fn parts(weights: &[u8]) -> (Value, &[u8]) {
    let (length, rest) = weights.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    (serde_json::from_slice(header).unwrap(), data)
}

pub(crate) fn join(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), data].concat()
}

/// The names of a model's tensors.
fn names(model: &Model) -> Vec<String> {
    let file = SafeTensors::deserialize(model.weights).unwrap();
    let mut names: Vec<_> = file.names().into_iter().map(str::to_owned).collect();
    names.sort_unstable();
    names
}

fn any_size() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(0)),
        Just(json!(1)),
        Just(json!(-1)),
        Just(json!(1.5)),
        Just(json!(u64::MAX)),
        Just(json!(u64::MAX / 4 + 1)),
        Just(json!(1_u64 << 32)),
        Just(json!("40")),
        Just(Value::Null),
        (0_u64..1 << 20).prop_map(|size| json!(size)),
    ]
}

pub(crate) fn any_field() -> impl Strategy<Value = (&'static str, Value)> {
    let sizes = || prop::collection::vec(any_size(), 0..4);
    let types = [
        "F64", "F8_E4M3", "I64", "BOOL", "U8", "BF16", "F16", "F32", "X", "",
    ];
    prop_oneof![
        sizes().prop_map(|shape| ("shape", json!(shape))),
        sizes().prop_map(|offsets| ("data_offsets", json!(offsets))),
        prop::sample::select(types.to_vec()).prop_map(|name| ("dtype", json!(name))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_file_cut_off_is_refused(model in seeds(), share in 0.0..1.0) {
        let mut files = Files::new(model);
        files.weights.truncate((files.weights.len() as f64 * share) as usize);
        refused(&files, &[FILE]);
    }

    #[test]
    fn flipped_bits_do_no_harm(
        model in seeds(),
        flips in prop::collection::vec((0.0..1.0, 0_u8..8), 1..4),
        in_header in any::<bool>(),
    ) {
        let mut files = Files::new(model);
        let most = if in_header { 2000 } else { files.weights.len() };
        for (share, bit) in flips {
            let place = (most as f64 * share) as usize;
            files.weights[place] ^= 1_u8 << bit;
        }
        let _ = files.try_out();
    }

    #[test]
    fn a_lying_length_is_refused(model in seeds(), length in any::<u64>(), shift in 0_u32..64) {
        let mut files = Files::new(model);
        files.weights[..8].copy_from_slice(&(length >> shift).to_le_bytes());
        refused(&files, &[FILE]);
    }

    #[test]
    fn a_lying_header_does_no_harm(
        model in seeds(),
        index in any::<prop::sample::Index>(),
        (field, value) in any_field(),
    ) {
        let mut files = Files::new(model);
        let (mut header, data) = parts(model.weights);
        header[index.get(&names(model))][field] = value;
        files.weights = join(&header, data);
        let _ = files.try_out();
    }

    #[test]
    fn a_missing_tensor_is_named(model in seeds(), index in any::<prop::sample::Index>()) {
        let names = names(model);
        let missing = index.get(&names);
        let file = SafeTensors::deserialize(model.weights).unwrap();
        let mut tensors = file.tensors();
        tensors.retain(|(name, _)| name != missing);
        let mut files = Files::new(model);
        files.weights = safetensors::serialize(tensors, None).unwrap();
        let last = missing.rsplit('.').next().unwrap();
        let last = last.replace("gamma", "weight").replace("beta", "bias");
        refused(&files, &[FILE, &last, "expected shape", "no such tensor"]);
    }

    #[test]
    fn a_shape_of_the_wrong_size_is_named(model in seeds(), index in any::<prop::sample::Index>()) {
        // The same bytes under a shape with one more axis: every offset stays right.
        let names = names(model);
        let name = index.get(&names);
        let (mut header, data) = parts(model.weights);
        header[name]["shape"].as_array_mut().unwrap().push(json!(1));
        let mut files = Files::new(model);
        files.weights = join(&header, data);
        refused(&files, &[FILE, name, "expected shape", ", 1]"]);
    }

    #[test]
    fn a_value_that_is_no_number_is_named(
        model in seeds(),
        index in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        infinite in any::<bool>(),
    ) {
        let names = names(model);
        let name = index.get(&names);
        let (header, data) = parts(model.weights);
        let entry = &header[name];
        let (wide, bits): (usize, u32) = match (entry["dtype"].as_str().unwrap(), infinite) {
            ("F32", true) => (4, 0x7f80_0000),
            ("F32", false) => (4, 0x7fc0_0000),
            ("F16", true) => (2, 0xfc00),
            ("F16", false) => (2, 0x7e00),
            ("BF16", true) => (2, 0xff80),
            (_, _) => (2, 0x7fc0),
        };
        let offset = |end: usize| entry["data_offsets"][end].as_u64().unwrap() as usize;
        let place = place.index((offset(1) - offset(0)) / wide);
        let mut data = data.to_vec();
        let start = offset(0) + place * wide;
        data[start..start + wide].copy_from_slice(&bits.to_le_bytes()[..wide]);
        let mut files = Files::new(model);
        files.weights = join(&header, &data);
        refused(&files, &[FILE, name, "finite", &format!("at {place}")]);
    }
}

#[test]
fn other_files_in_its_place_are_refused() {
    let model = golden::model("bert");
    for bytes in [model.config, model.tokenizer, b"", b"\0", &[0xff; 64]] {
        let mut files = Files::new(model);
        files.weights = bytes.to_vec();
        refused(&files, &[FILE]);
    }
}
