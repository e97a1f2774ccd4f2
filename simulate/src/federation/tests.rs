//! Federations whose clients only pretend to learn.

use fl_core::adapter::Matrix;
use fl_core::compression::Compression;
use fl_core::settings::{Rule, ServerOptimizer};
use fl_core::task::Task;
use proptest::prelude::*;

use super::*;
use crate::experiment::{RoundShape, Sample};

fn initial() -> Adapter {
    let matrix = |rows, columns, value: f32| {
        let values = (0..6).map(|index| value + 0.1 * index as f32);
        Matrix {
            rows,
            columns,
            values: values.collect(),
        }
    };
    let matrices = [
        ("m.lora_A.weight".to_owned(), matrix(2, 3, 1.0)),
        ("m.lora_B.weight".to_owned(), matrix(3, 2, 0.0)),
    ];
    Adapter {
        matrices: matrices.into(),
    }
}

fn experiment(clients: u32, rounds: u32) -> Experiment {
    Experiment {
        clients,
        rounds,
        ..Experiment::default()
    }
}

fn clients(experiment: &Experiment) -> Vec<(u32, (u32, u32))> {
    (0..experiment.clients)
        .map(|client| (client, (4, 8)))
        .collect()
}

fn settings(experiment: &Experiment) -> RoomSettings {
    experiment.room(&Task::reviews(), 7, experiment.clients)
}

fn start(experiment: &Experiment) -> Federation {
    Federation::new(
        experiment,
        settings(experiment),
        initial(),
        &clients(experiment),
    )
    .unwrap()
}

/// One completed round.
fn round(federation: &mut Federation) -> (RoundRecord, Vec<usize>) {
    loop {
        let jobs = federation.begin().unwrap();
        let global = federation.global().0;
        let finish = |job: Job| {
            let mut adapter = (*global).clone();
            for matrix in adapter.matrices.values_mut() {
                for (index, value) in matrix.values.iter_mut().enumerate() {
                    *value += 0.01 * (job.member as f32 - 2.0) + 0.003 * index as f32;
                }
            }
            let result = WorkResult {
                gold: 4,
                soft: 0,
                steps: 1,
                loss_first: 0.7,
                loss_last: 0.5,
                confidence: 0.0,
                work_ms: job.takes(),
            };
            (job, Finished::Report(result, adapter))
        };
        let results = jobs.into_iter().map(finish).collect();
        if let End::Completed(record, members) = federation.end(results).unwrap() {
            return (record, members);
        }
    }
}

#[test]
fn everyone_reports_in_a_quiet_world() {
    let mut federation = start(&experiment(5, 3));
    for number in 1..=3 {
        let (record, members) = round(&mut federation);
        assert_eq!((record.round, record.reported), (number, 5));
        assert_eq!(members, [0, 1, 2, 3, 4]);
    }
    let traffic = federation.traffic();
    assert_eq!(traffic.update_count, 15);
    assert!(traffic.updates > 15 * 48 && traffic.up > traffic.updates && traffic.down > 20 * 48);
    assert_eq!(federation.now(), 60_000);
}

#[test]
fn who_is_too_slow_is_left_out() {
    let mut experiment = experiment(40, 1);
    experiment.stragglers.sigma = 1.0;
    experiment.round = RoundShape {
        deadline_seconds: 20,
        ..RoundShape::default()
    };
    let (record, _) = round(&mut start(&experiment));
    assert!((10..30).contains(&record.reported), "{}", record.reported);
    assert!(
        record
            .excluded
            .iter()
            .all(|left| left.reason.contains("deadline"))
    );
    assert_eq!(record.duration_ms, 20_000);
}

#[test]
fn a_sample_with_a_goal_ends_early() {
    let mut experiment = experiment(20, 2);
    experiment.stragglers.sigma = 0.5;
    experiment.round.sample = Sample::Share(0.5);
    experiment.round.goal = 6;
    let mut federation = start(&experiment);
    for _ in 0..2 {
        let (record, members) = round(&mut federation);
        assert_eq!((record.selected, members.len()), (10, 6));
    }
}

#[test]
fn rounds_that_never_have_enough_are_given_up() {
    let mut experiment = experiment(3, 1);
    experiment.dropouts.during = 0.999;
    experiment.round.minimum = 3;
    let mut federation = start(&experiment);
    let error = loop {
        federation.begin().unwrap();
        match federation.end(Vec::new()) {
            Ok(End::Abandoned) => {}
            Ok(End::Completed(..)) => panic!("a round without an update"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(
        error.contains("round 1 came to nothing in 100 of 100 attempts"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_restored_federation_goes_on_as_if_nothing_was(
        before in 0f32..0.6, during in 0f32..0.5, sigma in 0f32..1.5, stop in 1u32..5, way in 0usize..4,
    ) {
        let mut experiment = experiment(8, 6);
        experiment.dropouts.before = before;
        experiment.dropouts.during = during;
        experiment.stragglers.sigma = sigma;
        match way {
            0 => {}
            1 => experiment.compression = Compression::TopK { share: 0.2 },
            2 => experiment.aggregation.server_optimizer =
                ServerOptimizer::FedAdam(Default::default()),
            _ => experiment.aggregation.rule = Rule::RoLora,
        }
        let mut whole = start(&experiment);
        let mut parted = start(&experiment);
        for number in 1..=6 {
            let (one, other) = (round(&mut whole), round(&mut parted));
            prop_assert_eq!(one, other);
            prop_assert_eq!(whole.global().1, parted.global().1);
            if number == stop {
                let mut adapters = parted.adapters().into();
                let (saved, settings) = (parted.save(), settings(&experiment));
                let clients = clients(&experiment);
                parted = Federation::restore(&experiment, settings, saved, &mut adapters, &clients)
                    .unwrap();
                prop_assert_eq!(whole.save(), parted.save());
            }
        }
        prop_assert_eq!(whole.traffic(), parted.traffic());
    }
}
