//! What every compression promises, through the bytes of its body.

use proptest::prelude::*;

use super::*;
use crate::codec::{decode_adapter, encode_tensors};

fn any_pair() -> impl Strategy<Value = (Adapter, Adapter)> {
    let matrix = (1usize..5, 1usize..5).prop_flat_map(|(rows, columns)| {
        let values = || prop::collection::vec(-10f32..10.0, rows * columns);
        (values(), values()).prop_map(move |pair| {
            let matrix = |values| Matrix {
                rows,
                columns,
                values,
            };
            (matrix(pair.0), matrix(pair.1))
        })
    });
    prop::collection::btree_map("[a-z]{1,6}", matrix, 1..4).prop_map(|matrices| {
        let one = matrices
            .iter()
            .map(|(name, pair)| (name.clone(), pair.0.clone()));
        let other = matrices
            .iter()
            .map(|(name, pair)| (name.clone(), pair.1.clone()));
        let (matrices, others) = (one.collect(), other.collect());
        (Adapter { matrices }, Adapter { matrices: others })
    })
}

fn any_compression() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::F32),
        Just(Compression::F16),
        Just(Compression::Int8),
        (0.01f32..=0.5).prop_map(|share| Compression::TopK { share }),
    ]
}

/// The update as it arrives, what the client has left out then, and the body's size.
fn sent(
    compression: Compression,
    update: &Adapter,
    base: &Adapter,
    feedback: &Feedback,
) -> (Adapter, Feedback, usize) {
    let (packed, feedback) = compression.packed(update, base, feedback);
    let bytes = encode_tensors(&packed);
    let body = decode_adapter(&bytes).unwrap();
    let restored = compression.restored(&body, base).unwrap().into_owned();
    (restored, feedback, bytes.len())
}

fn values(adapter: &Adapter) -> Vec<f32> {
    adapter
        .matrices
        .values()
        .flat_map(|m| m.values.clone())
        .collect()
}

proptest! {
    #[test]
    fn errors_are_within_their_bounds((update, base) in any_pair(), compression in any_compression()) {
        let (arrived, ..) = sent(compression, &update, &base, &Feedback::default());
        prop_assert_eq!(arrived.layout(), update.layout());
        for (name, matrix) in &update.matrices {
            let old = &base.matrices[name].values;
            let new = &arrived.matrices[name].values;
            for (row, values) in matrix.values.chunks(matrix.columns).enumerate() {
                let at = row * matrix.columns..(row + 1) * matrix.columns;
                let changes = values.iter().zip(&old[at.clone()]).map(|(a, b)| (a - b).abs());
                let largest = changes.clone().fold(0f32, f32::max);
                for ((value, change), new) in values.iter().zip(changes).zip(&new[at]) {
                    let bound = match compression {
                        Compression::F32 => 0.0,
                        Compression::F16 => change / 2048.0 + 4e-6,
                        Compression::Int8 => largest / 254.0 + 4e-6,
                        // Sent or not, never further away than the global adapter's.
                        Compression::TopK { .. } => change + 4e-6,
                    };
                    prop_assert!((value - new).abs() <= bound, "{:?}: {} and {}", compression, value, new);
                }
            }
        }
    }

    #[test]
    fn bytes_are_as_documented((update, base) in any_pair(), compression in any_compression()) {
        let (packed, _) = compression.packed(&update, &base, &Feedback::default());
        let size = |tensor: &Tensor| tensor.matrix.values.len() * tensor.kind.bytes();
        let found: usize = packed.values().map(size).sum();
        prop_assert_eq!(found, compression.bytes(&update.layout()));
    }

    #[test]
    fn what_was_sent_and_left_out_is_the_truth(
        rounds in prop::collection::vec(any::<u32>(), 1..8), share in 0.05f32..=0.5, (shape, base) in any_pair()
    ) {
        let compression = Compression::TopK { share };
        let count = values(&base).len();
        let (mut truth, mut arrived, mut feedback) = (vec![0f64; count], vec![0f64; count], Feedback::default());
        for round in rounds {
            let mut update = shape.clone();
            let all = update.matrices.values_mut().flat_map(|m| &mut m.values);
            for (index, value) in (0u32..).zip(all) {
                *value += (round.wrapping_mul(index + 1) % 64) as f32 / 8.0 - 4.0;
            }
            let (restored, next, _) = sent(compression, &update, &base, &feedback);
            feedback = next;
            let lists = values(&update).into_iter().zip(values(&restored)).zip(values(&base));
            for (index, ((update, restored), base)) in lists.enumerate() {
                truth[index] += f64::from(update) - f64::from(base);
                arrived[index] += f64::from(restored) - f64::from(base);
            }
        }
        let left_out = values(feedback.left_out());
        for ((truth, arrived), left) in truth.iter().zip(arrived).zip(left_out) {
            prop_assert!((truth - arrived - f64::from(left)).abs() < 1e-3);
        }
    }

    #[test]
    fn restoring_never_panics(
        (update, base) in any_pair(), compression in any_compression(), other in any_compression(),
        place: prop::sample::Index, value: u8
    ) {
        let (packed, _) = compression.packed(&update, &base, &Feedback::default());
        let mut bytes = encode_tensors(&packed);
        let place = place.index(bytes.len());
        bytes[place] = value;
        if let Ok(body) = decode_adapter(&bytes) {
            let _ = compression.restored(&body, &base);
            let _ = other.restored(&body, &base);
            let _ = other.restored(&body, &Adapter::default());
        }
    }
}

fn row(values: &[f32]) -> Adapter {
    let matrix = Matrix {
        rows: 1,
        columns: values.len(),
        values: values.to_vec(),
    };
    Adapter {
        matrices: [("w".to_owned(), matrix)].into(),
    }
}

#[test]
fn largest_changes_go_and_the_rest_follows() {
    let compression = Compression::TopK { share: 0.5 };
    let base = row(&[1.0, 1.0, 1.0, 1.0]);
    let update = row(&[1.5, -2.0, 1.25, 3.0]);
    let (arrived, feedback, _) = sent(compression, &update, &base, &Feedback::default());
    assert_eq!(arrived, row(&[1.0, -2.0, 1.0, 3.0]));
    assert_eq!(*feedback.left_out(), row(&[0.5, 0.0, 0.25, 0.0]));
    let (arrived, feedback, _) = sent(compression, &base, &base, &feedback);
    assert_eq!(arrived, row(&[1.5, 1.0, 1.25, 1.0]));
    assert_eq!(values(feedback.left_out()), [0.0; 4]);
}

#[test]
fn bad_bodies_are_refused_by_name() {
    let base = row(&[0.0; 4]);
    let sparse = |indices: &[f32], values: &[f32]| {
        let mut body = Adapter::default();
        for (name, list) in [("indices", indices), ("values", values)] {
            let matrix = row(list).matrices["w"].clone();
            body.matrices.insert(name.into(), matrix);
        }
        let top_k = Compression::TopK { share: 0.5 };
        top_k.restored(&body, &base).map(|_| ()).unwrap_err()
    };
    for indices in [[1.0, 1.0], [2.0, 1.0], [1.0, 4.0], [0.5, 1.0], [-1.0, 1.0]] {
        let error = sparse(&indices, &[1.0, 1.0]);
        assert!(matches!(error, AdapterError::Index { .. }), "{error}");
    }
    assert!(matches!(
        sparse(&[1.0], &[1.0, 1.0]),
        AdapterError::Shape { .. }
    ));
    let missing = Compression::Int8.restored(&base, &base).unwrap_err();
    assert!(missing.to_string().contains("w.scale is missing"));
}

#[test]
fn settings_are_checked() {
    for share in [0.0, 0.6, f32::NAN] {
        let error = Compression::TopK { share }.check().unwrap_err();
        assert_eq!(error.field, "compression.share");
    }
    let int8: Compression = serde_json::from_str(r#"{"by":"int8"}"#).unwrap();
    assert_eq!(int8, Compression::Int8);
    int8.check().unwrap();
}
