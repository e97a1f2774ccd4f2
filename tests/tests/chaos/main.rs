//! A federation of real processes under chaos: the server killed again and again, clients killed,
//! stopped, and misbehaving on the wire; whatever happens, what was announced stays, nobody counts
//! twice, and those who stay end on one adapter.
//!
//! `cargo xtask chaos` and the step `chaos` of `cargo xtask test` name the built program in the
//! environment. What a run leaves behind lies under `target/chaos/`.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod churn;
mod history;
mod memory;
mod places;
mod plan;
mod programs;
mod server;
mod stub;

use std::thread::sleep;
use std::time::{Duration, Instant};

use fl_core::protocol::RoundRecord;
use rand::RngExt as _;

use churn::Churn;
use memory::Memory;
use plan::Plan;
use server::Server;
use stub::Stub;

/// Time between two looks at the room.
const LOOK: Duration = Duration::from_millis(50);
/// How long those who stay may take to end once the room has finished.
const END: Duration = Duration::from_secs(60);
/// Longest time from a kill's round to the kill, in rounds.
const LONGEST_WAIT: f64 = 1.5;

#[test]
#[ignore = "needs the built program; cargo xtask chaos runs it"]
fn what_was_announced_stays_and_nobody_counts_twice() {
    let plan = Plan::of_environment();
    println!("{plan}");
    let folder = programs::output(&plan.name());
    let begun = Instant::now();
    let mut server = Server::start(&folder);
    let created = server.create(&plan.settings());
    let room = created.code.clone();
    let join = |who: plan::Crowd, name: String| Stub::join(&server.url, &room, &folder, name, who);
    let staying: Vec<Stub> = plan.staying().map(|(name, who)| join(who, name)).collect();
    server.wait_for(&room, "everyone who stays", plan.patience(), |info| {
        info.view.connected >= plan.staying_clients()
    });
    let churn = Churn::begin(&plan, &server.url, &room, &folder, &staying);

    server.begin_rounds(&created);

    let mut known: Vec<RoundRecord> = Vec::new();
    let mut memory = Memory::default();
    let mut rng = plan.generator(1);
    let (mut kills, mut early) = (0, 0);
    while kills < plan.kills {
        // Kills are spread over the rounds, and hit anything that happens in one.
        let wanted = plan.round_of_kill(kills);
        let (mut first, mut completed) = (None, 0);
        server.wait_for(&room, "the next kill's round", plan.patience(), |info| {
            history::check_goes_on(&known, &info.history);
            known.clone_from(&info.history);
            completed = info.view.completed;
            first.get_or_insert(completed);
            completed >= wanted
        });
        if first < Some(completed) {
            memory.young(server.resident());
        }
        // Ahead of the plan, it hits those that come back. One slow round says little of how long the
        // next takes: the wait ends when the room is a round further.
        let longest = history::usual_duration(&known).mul_f64(rng.random_range(0.0..LONGEST_WAIT));
        server.watch(&room, longest, |info| {
            history::check_goes_on(&known, &info.history);
            known.clone_from(&info.history);
            info.view.completed > wanted
        });
        server.kill();
        kills += 1;
        while kills < plan.kills && rng.random_bool(plan.killed_at_start) {
            // In the midst of reading what it has stored, or a moment later.
            server.begin();
            sleep(Duration::from_millis(rng.random_range(0..400)));
            server.kill();
            (kills, early) = (kills + 1, early + 1);
        }
        server.restart();
    }
    server.wait_for(&room, "the end", plan.patience(), |info| {
        history::check_goes_on(&known, &info.history);
        known.clone_from(&info.history);
        memory.grown(info.view.completed, server.resident());
        info.is_finished()
    });
    let churned = churn.end();

    let (rounds, abandoned) = history::check(&known, plan.rounds);
    let last = known.iter().rev().find_map(history::hash).unwrap();
    let mut tally = stub::Tally::default();
    for stub in &staying {
        tally.add(&stub.finished(END, last));
    }
    let everyone: Vec<&Stub> = staying.iter().chain(&churned.stubs).collect();
    let told = history::check_announced(&known, &everyone);
    let places = places::check(&known, &everyone);
    let memory = memory.check(&plan);
    server.end();
    let replayed = programs::replay(server.data(), plan.rounds);
    programs::check_logs(&folder);
    println!(
        "{kills} kills of the server, {early} of them while it started; {} processes of clients killed, \
         {} left, {} stopped for a while\n\
         {rounds} rounds completed, {abandoned} abandoned, {} updates in them, {replayed} rounds \
         replayed to the same hash\n\
         {} clients that stay ended on {}; {told} announcements and {places} places are the history's\n\
         {tally}\n{memory}\n{:.0} s in all; {plan}",
        churned.killed,
        churned.left,
        churned.stopped,
        known
            .iter()
            .map(|record| record.participants.len())
            .sum::<usize>(),
        plan.staying_clients(),
        last,
        begun.elapsed().as_secs_f64(),
    );
}
