//! Attention against candle's own operations.

use candle_core::Var;
use candle_nn::ops::softmax;

use super::{Attention, Queries, Tensor};
use crate::ops::linear::tests::{assert_close, random};

/// One sequence after the other, with candle's own operations.
fn plain(
    heads: usize,
    lengths: &[usize],
    window: Option<usize>,
    queries: &Queries,
    qkv: [&Tensor; 3],
) -> Tensor {
    let size = qkv[0].dim(1).unwrap() / heads;
    let (mut row, mut parts) = (0, Vec::new());
    for (index, &length) in lengths.iter().enumerate() {
        let (first, count, place) = match queries {
            Queries::All => (row, length, 0),
            Queries::At(places) => (index, 1, places[index]),
            Queries::Several(_) => unreachable!("tested where it is used"),
        };
        let far = |(query, key): (usize, usize)| {
            let apart = (place + query).abs_diff(key);
            f32::from(u8::from(window.is_some_and(|window| apart > window))) * -1e9
        };
        let pairs = (0..count).flat_map(|q| (0..length).map(move |k| (q, k)));
        let hidden: Vec<f32> = pairs.map(far).collect();
        let hidden = Tensor::from_vec(hidden, (1, count, length), qkv[0].device()).unwrap();
        let split = |t: &Tensor, first, count| {
            let rows = t.narrow(0, first, count).unwrap();
            let rows = rows.reshape((count, heads, size)).unwrap();
            rows.transpose(0, 1).unwrap().contiguous().unwrap()
        };
        let q = (split(qkv[0], first, count) / (size as f64).sqrt()).unwrap();
        let [k, v] = [qkv[1], qkv[2]].map(|t| split(t, row, length));
        let scores = q.matmul(&k.t().unwrap()).unwrap();
        let scores = scores.broadcast_add(&hidden).unwrap();
        let context = softmax(&scores, 2).unwrap().matmul(&v).unwrap();
        let context = context.transpose(0, 1).unwrap();
        parts.push(context.reshape((count, heads * size)).unwrap());
        row += length;
    }
    Tensor::cat(&parts, 0).unwrap()
}

#[test]
fn value_and_gradients_equal_plain_candle() {
    let cases: [(usize, usize, &[usize]); 4] = [
        (1, 1, &[1]),
        (2, 6, &[3, 1, 5]),
        (4, 32, &[8, 8]),
        (3, 27, &[2, 17]),
    ];
    for (heads, hidden, lengths) in cases {
        let middles: Vec<usize> = lengths.iter().map(|length| length / 2).collect();
        for queries in [Queries::All, Queries::At(middles.into())] {
            for window in [None, Some(0), Some(2), Some(100)] {
                compare(heads, hidden, lengths, window, &queries);
            }
        }
    }
}

fn compare(
    heads: usize,
    hidden: usize,
    lengths: &[usize],
    window: Option<usize>,
    queries: &Queries,
) {
    let rows: usize = lengths.iter().sum();
    let asked = match queries {
        Queries::All => rows,
        Queries::At(places) => places.len(),
        Queries::Several(_) => unreachable!("tested where it is used"),
    };
    let var = |rows, seed| {
        let values = (random((rows, hidden), seed) * 2.0).unwrap();
        Var::from_tensor(&values).unwrap()
    };
    let (q, k, v) = (var(asked, 1), var(rows, 2), var(rows, 3));
    let qkv = [q.as_tensor(), k.as_tensor(), v.as_tensor()];
    let ours = Attention::forward(heads, &lengths.into(), window, queries.clone(), qkv);
    let (ours, theirs) = (ours.unwrap(), plain(heads, lengths, window, queries, qkv));
    assert_close(&ours, &theirs, 1e-5);
    let dy = random((asked, hidden), 4);
    for var in [&q, &k, &v] {
        let gradient = |y: &Tensor| {
            let loss = (y * &dy).unwrap().sum_all().unwrap();
            loss.backward().unwrap().get(var).unwrap().clone()
        };
        assert_close(&gradient(&ours), &gradient(&theirs), 2e-5);
    }
}

#[test]
fn lengths_that_do_not_fill_the_batch_are_refused() {
    let x = random((4, 6), 1);
    let attend = |heads, lengths: &[usize]| {
        Attention::forward(heads, &lengths.into(), None, Queries::All, [&x, &x, &x])
    };
    assert!(attend(2, &[4]).is_ok());
    assert!(attend(2, &[3]).is_err());
    assert!(attend(4, &[4]).is_err());
    let at = |places: &[usize]| {
        let (q, queries) = (random((1, 6), 1), Queries::At(places.into()));
        Attention::forward(2, &[4].into(), None, queries, [&q, &x, &x])
    };
    assert!(at(&[3]).is_ok());
    assert!(at(&[4]).is_err());
}
