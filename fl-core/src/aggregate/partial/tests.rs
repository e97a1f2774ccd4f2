//! Parts that are merged make what one sum makes; bytes that are no partial sum are refused.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::aggregate::testing::{clients, lora, settings};
use crate::aggregate::{Aggregated, OptimizerState};
use crate::settings::{Holds, MeasureError, RoomSettings, Rule};

const RULES: [Rule; 6] = [
    Rule::FedAvg,
    Rule::RoLora,
    Rule::HetLora,
    Rule::NormBound { norm: 1.0 },
    Rule::Median,
    Rule::Krum { attackers: 0 },
];

fn plain(rule: Rule) -> RoomSettings {
    let mut settings = settings(rule);
    settings.aggregation.measure_error = MeasureError::Off;
    settings
}

fn empty(settings: &RoomSettings) -> Aggregator {
    Aggregator::new(settings, Arc::new(lora(9, 2)), 1)
}

fn add(aggregator: &mut Aggregator, index: usize, (adapter, weight): &(Adapter, f64)) -> ClientId {
    let client = ClientId(index as u32 + 1);
    aggregator.add(client, adapter, *weight).unwrap();
    client
}

/// The partial sum of some of the clients.
fn partial(
    settings: &RoomSettings,
    sent: &[(Adapter, f64)],
    mine: impl Fn(usize) -> bool,
) -> Partial {
    let (mut aggregator, mut named) = (empty(settings), Vec::new());
    for (index, update) in sent.iter().enumerate().filter(|(index, _)| mine(*index)) {
        named.push(add(&mut aggregator, index, update));
    }
    aggregator.partial(1, 2, named)
}

fn furthest(one: &Aggregated, other: &Aggregated) -> f32 {
    let values = |made: &Aggregated| {
        let matrices = made.adapter.matrices.values();
        let values: Vec<f32> = matrices.flat_map(|matrix| matrix.values.clone()).collect();
        values
    };
    let (one, other) = (values(one), values(other));
    assert_eq!(one.len(), other.len());
    let apart = one.iter().zip(&other).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, f32::max)
}

proptest! {
    #[test]
    fn any_split_makes_what_one_sum_makes(seed: u32, places in prop::collection::vec(0usize..3, 4..8)) {
        let sent = clients(seed, &vec![2; places.len()]);
        for rule in RULES {
            let settings = plain(rule);
            let mut whole = empty(&settings);
            let mut merged = empty(&settings);
            for (index, update) in sent.iter().enumerate() {
                add(&mut whole, index, update);
                if places[index] == 0 {
                    add(&mut merged, index, update);
                }
            }
            for process in 1..3 {
                let part = partial(&settings, &sent, |index| places[index] == process);
                let bytes = part.encode();
                let back = Partial::decode(&bytes, bytes.len()).unwrap();
                prop_assert_eq!(&back, &part);
                merged.merge(back).unwrap();
            }
            let state = OptimizerState::default();
            let (whole, merged) = (whole.finish(&state).unwrap(), merged.finish(&state).unwrap());
            match rule.holds() {
                Holds::All => prop_assert_eq!(whole, merged),
                Holds::Sum => prop_assert!(furthest(&whole, &merged) < 1e-6, "{}", rule.name()),
            }
        }
    }

    #[test]
    fn damaged_bytes_never_panic(
        place: prop::sample::Index, value: u8, cut: prop::sample::Index, held: bool
    ) {
        let rule = if held { Rule::Median } else { Rule::FedAvg };
        let mut bytes = partial(&plain(rule), &clients(1, &[2, 2]), |_| true).encode();
        let place = place.index(bytes.len());
        bytes[place] = value;
        if let Ok(partial) = Partial::decode(&bytes, bytes.len()) {
            let _ = empty(&plain(rule)).merge(partial);
        }
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(Partial::decode(&bytes, usize::MAX).is_err());
    }
}

#[test]
fn what_does_not_fit_adds_nothing() {
    let sent = clients(1, &[2, 2]);
    let mean = plain(Rule::FedAvg);
    let whole = |settings: &RoomSettings| partial(settings, &sent, |_| true);
    let refused = |settings: &RoomSettings, partial: Partial| {
        let mut aggregator = empty(settings);
        assert!(aggregator.merge(partial).is_err());
        let nothing = aggregator.finish(&OptimizerState::default());
        assert_eq!(nothing.unwrap_err(), AggregateError::Nothing);
    };
    refused(&mean, whole(&plain(Rule::Median)));
    refused(&mean, whole(&plain(Rule::HetLora)));
    let mut other = whole(&mean);
    other.sums = vec![WeightedMean::new(lora(1, 3).layout())];
    refused(&mean, other);
    let mut infinite = whole(&mean);
    let (layout, sums, _) = infinite.sums[0].parts();
    infinite.sums[0] = WeightedMean::from_parts(layout.clone(), sums.to_vec(), f64::INFINITY);
    refused(&mean, infinite);
    let median = plain(Rule::Median);
    let mut unnamed = whole(&median);
    unnamed.clients.clear();
    refused(&median, unnamed);
    let mut twice = whole(&median);
    twice.held.push(twice.held[0].clone());
    refused(&median, twice);
    let mut small = median.clone();
    small.aggregation.memory_mib = 0;
    refused(&small, whole(&median));
}

#[test]
fn too_many_bytes_are_refused() {
    let bytes = partial(&plain(Rule::FedAvg), &clients(1, &[2]), |_| true).encode();
    let error = Partial::decode(&bytes, bytes.len() - 1).unwrap_err();
    assert!(matches!(error, CodecError::Oversized { .. }));
}
