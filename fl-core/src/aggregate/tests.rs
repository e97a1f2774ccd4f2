//! What every rule has in common.

use proptest::prelude::*;

use super::testing::{aggregated, clients, lora, row, settings, values};
use super::*;
use crate::adapter::Matrix;
use crate::settings::{Adaptive, ServerOptimizer};

const RULES: [Rule; 12] = [
    Rule::FedAvg,
    Rule::FfaLora,
    Rule::RoLora,
    Rule::FedExLora,
    Rule::Flora,
    Rule::FlexLora,
    Rule::HetLora,
    Rule::Median,
    Rule::TrimmedMean { share: 0.25 },
    Rule::Krum { attackers: 0 },
    Rule::MultiKrum {
        attackers: 0,
        chosen: 2,
    },
    Rule::NormBound { norm: 1.0 },
];

/// The effective change of one module's weights, by value.
fn effect(made: &Aggregated, module: &str) -> Vec<f64> {
    let product = testing::product(&made.adapter, module);
    let mut effect: Vec<f64> = product.iter().map(|v| v * testing::SCALE).collect();
    if let Some(residual) = &made.residual {
        let added = &residual.modules[module];
        for (sum, value) in effect.iter_mut().zip(testing::multiply(&added.b, &added.a)) {
            *sum += value;
        }
    }
    effect
}

proptest! {
    #[test]
    fn order_does_not_matter(seed: u32, turn in 1usize..4) {
        let (sent, global) = (clients(seed, &[2; 4]), lora(9, 2));
        for rule in RULES {
            let run = |turn: usize| {
                let mut aggregator = Aggregator::new(&settings(rule), Arc::new(global.clone()), 1);
                for index in (0..4).map(|index| (index + turn) % 4) {
                    let (adapter, weight) = &sent[index];
                    aggregator.add(ClientId(index as u32), adapter, *weight).unwrap();
                }
                aggregator.finish(&OptimizerState::default()).unwrap()
            };
            let (one, other) = (run(0), run(turn));
            prop_assert_eq!(&one.excluded, &other.excluded);
            for module in ["m.key", "m.query"] {
                let apart = testing::distance(&effect(&one, module), &effect(&other, module));
                prop_assert!(apart < 1e-6, "{}: {}", rule.name(), apart);
            }
        }
    }

    #[test]
    fn equal_updates_are_their_aggregate(seed: u32) {
        // The global adapter shares the factor that a rule freezes, and is within the bound.
        let update = lora(seed, 2);
        let sent = [3.0, 1.0, 4.0].map(|weight| (update.clone(), weight));
        for rule in RULES {
            let made = aggregated(rule, &update, 1, &sent).unwrap();
            for module in ["m.key", "m.query"] {
                let expected: Vec<f64> =
                    testing::product(&update, module).iter().map(|v| v * testing::SCALE).collect();
                let apart = testing::distance(&effect(&made, module), &expected);
                prop_assert!(apart < 1e-5, "{}: {}", rule.name(), apart);
            }
        }
    }

    #[test]
    fn fedavg_is_the_weighted_mean_bit_for_bit(seed: u32, count in 1usize..6) {
        let sent = clients(seed, &vec![2; count]);
        let mut sum = WeightedMean::new(lora(9, 2).layout());
        sent.iter().for_each(|(adapter, weight)| sum.add(adapter, *weight));
        let made = aggregated(Rule::FedAvg, &lora(9, 2), 1, &sent).unwrap();
        prop_assert_eq!(Some(made.adapter), sum.mean());
    }
}

#[test]
fn nothing_of_any_weight_is_no_round() {
    for rule in RULES {
        let weightless = [(lora(1, 2), 0.0)];
        for sent in [&weightless[..], &[]] {
            let error = aggregated(rule, &lora(9, 2), 1, sent).unwrap_err();
            assert_eq!(error, AggregateError::Nothing, "{}", rule.name());
        }
    }
}

#[test]
fn bad_updates_and_weights_are_refused() {
    for rule in RULES {
        let refused = |adapter, weight| aggregated(rule, &lora(9, 2), 1, &[(adapter, weight)]);
        let update = |made: Result<_, _>| matches!(made, Err(AggregateError::Update(_)));
        assert!(update(refused(lora(1, 3), 1.0)), "{}", rule.name());
        assert!(update(refused(row(&[1.0]), 1.0)), "{}", rule.name());
        for weight in [-1.0, f64::NAN, f64::INFINITY] {
            let made = refused(lora(1, 2), weight);
            assert!(matches!(made, Err(AggregateError::Weight(_))));
        }
        assert_eq!(update(refused(lora(1, 1), 1.0)), !rule.mixes_ranks());
    }
}

#[test]
fn held_updates_have_a_bound() {
    // A MiB is four updates of 65,536 values.
    let update = row(&vec![0.5; 65_536]);
    for (rule, held) in [(Rule::FedAvg, 9), (Rule::Median, 4)] {
        let mut settings = settings(rule);
        settings.aggregation.measure_error = MeasureError::Off;
        settings.aggregation.memory_mib = 1;
        let mut aggregator = Aggregator::new(&settings, Arc::new(update.clone()), 1);
        let added = (0..9).take_while(|&id| aggregator.add(ClientId(id), &update, 1.0).is_ok());
        assert_eq!(added.count(), held);
        aggregator.finish(&OptimizerState::default()).unwrap();
    }
}

#[test]
fn server_optimizer_goes_on_from_its_state() {
    let mut settings = settings(Rule::FedAvg);
    settings.aggregation.server_optimizer = ServerOptimizer::FedAvgM {
        learning_rate: 1.0,
        momentum: 0.5,
    };
    settings.check().unwrap();
    let (mut global, mut state) = (row(&[0.0]), OptimizerState::default());
    let mut seen = Vec::new();
    for round in 1..=3 {
        let mut aggregator = Aggregator::new(&settings, Arc::new(global.clone()), round);
        let update = row(&[values(&global)[0] + 1.0]);
        aggregator.add(ClientId(1), &update, 2.0).unwrap();
        let made = aggregator.finish(&state).unwrap();
        (global, state) = (made.adapter, made.optimizer);
        seen.push(values(&global)[0]);
    }
    assert_eq!(seen, [1.0, 2.5, 4.25]);
    settings.aggregation.server_optimizer = ServerOptimizer::FedAdam(Adaptive::default());
    settings.check().unwrap();
}

/// One module with numbers for A and B.
fn numbers(a: f32, b: f32) -> Adapter {
    let number = |value| Matrix {
        rows: 1,
        columns: 1,
        values: vec![value],
    };
    let matrices = [
        ("m.lora_A.weight".to_owned(), number(a)),
        ("m.lora_B.weight".to_owned(), number(b)),
    ];
    Adapter {
        matrices: matrices.into(),
    }
}

#[test]
fn known_numbers_are_met() {
    // p = 1/4 and 3/4: the products' mean is 2/4 + 3·12/4 = 9.5, the means' product 2.5 · 3.5.
    let sent = [(numbers(1.0, 2.0), 1.0), (numbers(3.0, 4.0), 3.0)];
    let global = numbers(2.0, 5.0);
    let made = |rule, round| aggregated(rule, &global, round, &sent).unwrap();
    let added = |made: &Aggregated| {
        let residual = made.residual.as_ref().unwrap();
        residual.modules["m"].dense().values[0]
    };

    let naive = made(Rule::FedAvg, 1);
    assert_eq!(naive.adapter, numbers(2.5, 3.5));
    let error = naive.error.unwrap();
    assert_eq!((error.absolute, error.relative), (0.75, 0.75 / 9.5));

    assert_eq!(made(Rule::FfaLora, 2).adapter, numbers(2.0, 3.5));
    assert_eq!(made(Rule::RoLora, 1).adapter, numbers(2.0, 3.5));
    assert_eq!(made(Rule::RoLora, 2).adapter, numbers(2.5, 5.0));

    let corrected = made(Rule::FedExLora, 1);
    assert_eq!(corrected.adapter, numbers(2.5, 3.5));
    assert_eq!(added(&corrected), 2.0 * 0.75, "LoRA's scale is 2");
    assert_eq!(added(&made(Rule::Flora, 1)), 2.0 * 9.5);

    let product = testing::product(&made(Rule::FlexLora, 1).adapter, "m")[0];
    assert!((product - 9.5).abs() < 1e-6);

    // Norms 2 and 12.
    let by_norm = numbers(38.0 / 14.0, 52.0 / 14.0);
    assert_eq!(made(Rule::HetLora, 1).adapter, by_norm);
    assert_eq!(made(Rule::Median, 1).adapter, numbers(2.0, 3.0));
}
