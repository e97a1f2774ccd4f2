//! Whole federations on a virtual clock: whatever the links do, every live client ends on the
//! same adapter, and no update is counted twice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

mod simulation;

use std::collections::BTreeSet;
use std::sync::Arc;

use fl_core::aggregate::OptimizerState;
use fl_core::compression::Compression;
use fl_core::protocol::{RoundOutcome, RoundRecord};
use fl_core::replay::Replay;
use fl_core::settings::{Adaptive, Quorum, RoomSettings, RoundMode, Rule, ServerOptimizer};
use proptest::prelude::*;

use simulation::{Outcome, Simulation, World, initial};

fn world(clients: usize, seed: u64) -> World {
    let mut settings = RoomSettings::default();
    settings.round.capacity = clients as u32;
    settings.round.quorum = Quorum::Fraction(0.5);
    settings.round.minimum = 2;
    settings.round.rounds = 8;
    settings.round.deadline_seconds = 30;
    settings.round.grace_seconds = 5;
    World {
        clients,
        seed,
        loss: 0.0,
        dropout: 0.0,
        crash: 0.0,
        restarts: Vec::new(),
        record: true,
        settings,
    }
}

fn check(world: World) -> Outcome {
    let (rounds, settings) = (world.settings.round.rounds, world.settings.clone());
    let recorded = world.record;
    let outcome = Simulation::new(world).run();
    let mut completed = 0;
    for record in &outcome.history {
        assert_eq!(record.round, completed + 1, "rounds follow each other");
        let participants: BTreeSet<_> = record.participants.iter().collect();
        assert_eq!(
            participants.len(),
            record.participants.len(),
            "nobody counts twice"
        );
        let accounted = participants.len() + record.excluded.len();
        match settings.round.mode {
            RoundMode::Synchronous => assert_eq!(accounted, record.selected as usize),
            // The others work on into the next round.
            RoundMode::Asynchronous { .. } => assert!(accounted <= record.selected as usize),
        }
        completed += u32::from(matches!(record.outcome, RoundOutcome::Completed { .. }));
    }
    assert_eq!(completed, rounds);
    if recorded {
        check_replay(settings, &outcome);
    }
    assert!(!outcome.live.is_empty());
    assert!(
        outcome.live.iter().all(|hash| *hash == Some(outcome.hash)),
        "{:?}",
        outcome.live
    );
    outcome
}

/// The recorded updates make the same adapter again, in every round.
fn check_replay(settings: RoomSettings, outcome: &Outcome) {
    let (first, optimizer) = (Arc::new(initial()), OptimizerState::default());
    let mut replay = Replay::new(settings, first, optimizer);
    for record in &outcome.history {
        if let RoundOutcome::Completed { hash } = record.outcome {
            let updates = &outcome.updates[&(record.round, record.attempt)];
            assert_eq!(replay.round(record.round, updates), Ok(hash));
        }
    }
}

#[test]
fn hundred_clients_agree_on_a_quiet_network() {
    let outcome = check(world(100, 1));
    assert_eq!(outcome.live.len(), 100);
    assert!(
        outcome
            .history
            .iter()
            .all(|record| record.excluded.is_empty())
    );
}

#[test]
fn hundred_clients_agree_through_losses_crashes_and_restarts() {
    let mut world = world(100, 2);
    (world.loss, world.crash) = (0.02, 0.02);
    world.restarts = vec![25_000, 60_000];
    let outcome = check(world);
    assert!(outcome.live.len() < 100);
    assert!(
        outcome
            .history
            .iter()
            .any(|record| !record.excluded.is_empty())
    );
}

#[test]
fn same_seed_repeats_every_frame() {
    let run = || {
        let mut world = world(30, 7);
        (world.loss, world.crash) = (0.05, 0.01);
        check(world)
    };
    let (first, second) = (run(), run());
    assert_eq!(first.hash, second.hash);
    assert_eq!(first.history, second.history);
    assert_eq!(
        (first.frames, first.elapsed),
        (second.frames, second.elapsed)
    );
}

#[test]
fn sampling_with_a_goal_ends_rounds_early() {
    let mut world = world(40, 3);
    world.settings.round.quorum = Quorum::Count(20);
    world.settings.round.sample = 12;
    world.settings.round.goal = 8;
    let outcome = check(world);
    for record in outcome.history {
        assert_eq!((record.selected, record.participants.len()), (12, 8));
    }
}

#[test]
fn every_rule_and_compression_ends_in_agreement() {
    let krum = Rule::MultiKrum {
        attackers: 1,
        chosen: 0,
    };
    let cases = [
        (Rule::RoLora, Compression::F16),
        (Rule::FfaLora, Compression::TopK { share: 0.25 }),
        (Rule::FlexLora, Compression::Int8),
        (Rule::Median, Compression::F16),
        (krum, Compression::Int8),
        (Rule::HetLora, Compression::TopK { share: 0.5 }),
    ];
    let optimizers = [
        ServerOptimizer::None,
        ServerOptimizer::FedAdam(Adaptive::default()),
    ];
    for ((rule, compression), optimizer) in cases.into_iter().zip(optimizers.into_iter().cycle()) {
        let mut world = world(30, 5);
        (world.loss, world.restarts) = (0.02, vec![25_000]);
        world.settings.aggregation.rule = rule;
        world.settings.aggregation.server_optimizer = optimizer;
        world.settings.compression = compression;
        world.settings.check_for_room().unwrap();
        check(world);
    }
}

/// A world whose rounds end with every eighth update.
fn asynchronous(clients: usize, seed: u64, max_staleness: u32) -> World {
    let mut world = world(clients, seed);
    world.settings.round.mode = RoundMode::Asynchronous { max_staleness };
    world.settings.round.goal = 8;
    world.settings.round.rounds = 12;
    world.settings.check_for_room().unwrap();
    world
}

/// The updates that began in an earlier round than the one that they went into.
fn late(outcome: &Outcome) -> usize {
    let updates = outcome.updates.iter();
    let late = updates.map(|((round, _), updates)| {
        let late = updates.iter().filter(|update| update.report.round < *round);
        late.count()
    });
    late.sum()
}

#[test]
fn asynchronous_clients_count_in_the_round_that_runs() {
    let outcome = check(asynchronous(40, 3, 20));
    assert!(late(&outcome) > 8, "{}", late(&outcome));
    let excluded = outcome.history.iter().map(|record| record.excluded.len());
    assert_eq!(excluded.sum::<usize>(), 0, "nobody is too late");
    let all = |record: &RoundRecord| record.participants.len() == 8;
    assert!(outcome.history.iter().all(all));
}

#[test]
fn asynchronous_clients_that_fall_behind_begin_anew() {
    let outcome = check(asynchronous(40, 3, 1));
    for ((round, _), updates) in &outcome.updates {
        assert!(
            updates
                .iter()
                .all(|update| update.report.round + 1 >= *round)
        );
    }
    let excluded = outcome.history.iter().flat_map(|record| &record.excluded);
    let reasons: BTreeSet<&str> = excluded.map(|excluded| excluded.reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["its update would be more than 1 rounds old"].into()
    );
}

#[test]
fn few_asynchronous_clients_work_at_a_time() {
    let mut world = asynchronous(40, 4, 20);
    world.settings.round.sample = 10;
    let outcome = check(world);
    assert!(late(&outcome) > 0);
    let many: BTreeSet<_> = outcome
        .updates
        .values()
        .flatten()
        .map(|update| update.client)
        .collect();
    assert!(
        many.len() > 20,
        "others take the places of those that have reported"
    );
}

#[test]
fn asynchronous_rules_and_compressions_end_in_agreement() {
    let cases = [
        (Rule::FfaLora, Compression::TopK { share: 0.25 }),
        (Rule::Median, Compression::F16),
        (Rule::NormBound { norm: 1.0 }, Compression::Int8),
    ];
    for (rule, compression) in cases {
        let mut world = asynchronous(30, 5, 6);
        (world.loss, world.restarts) = (0.02, vec![15_000]);
        world.settings.aggregation.rule = rule;
        world.settings.compression = compression;
        check(world);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_asynchronous_world_ends_in_agreement(
        seed: u64, clients in 12usize..40, loss in 0.0..0.08, crash in 0.0..0.02,
        restart in 1u64..120_000, staleness in 0u32..6, sample in 0u32..12,
    ) {
        let mut world = asynchronous(clients, seed, staleness);
        (world.loss, world.crash) = (loss, crash);
        world.restarts = vec![restart];
        world.settings.round.sample = if sample < 2 { 0 } else { sample };
        check(world);
    }

    #[test]
    fn any_world_ends_in_agreement(
        seed: u64, clients in 8usize..40, loss in 0.0..0.08, crash in 0.0..0.02, restart in 1u64..120_000
    ) {
        let mut world = world(clients, seed);
        (world.loss, world.crash) = (loss, crash);
        world.restarts = vec![restart];
        check(world);
    }
}

/// 10,000 clients through 50 rounds, of which every fifth loses its link while it works.
#[test]
#[ignore = "slow without optimisation; cargo xtask test runs it in a release build"]
fn ten_thousand_clients_agree_through_heavy_losses() {
    let run = || {
        let mut world = world(10_000, 11);
        (world.dropout, world.record) = (0.2, false);
        world.settings.round.rounds = 50;
        world.settings.round.quorum = Quorum::Fraction(0.5);
        let started = std::time::Instant::now();
        let outcome = check(world);
        let (mut selected, mut lost) = (0, 0);
        for record in &outcome.history {
            selected += record.selected;
            lost += record.excluded.len();
        }
        assert!(lost > 0);
        println!(
            "10,000 clients, {} rounds, {selected} orders, {lost} lost, {} frames, {:.1} s; hash {}",
            outcome.history.len(),
            outcome.frames,
            started.elapsed().as_secs_f32(),
            outcome.hash
        );
        outcome.hash
    };
    assert_eq!(run(), run());
}
