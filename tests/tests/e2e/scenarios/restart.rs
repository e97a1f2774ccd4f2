//! A server that is killed between rounds and goes on from what it had stored.

use crate::driver::Kind;
use crate::native::Native;
use crate::scene::{Scene, play};
use crate::settings;
use crate::wait::until;

const ROUNDS: u32 = 3;

#[tokio::test]
#[ignore = "needs browsers and the built binary; `cargo xtask test` runs it"]
async fn server_killed_between_rounds_goes_on() {
    play("server_killed_between_rounds_goes_on", killed).await;
}

async fn killed(scene: &Scene) {
    let server = &scene.server;
    let room = server.create(&settings::slow("Restart", 3, ROUNDS, 10));
    let link = scene.link(&room.code);
    let first = scene.tab(Kind::Chromium, "chromium").await;
    let second = scene.tab(Kind::Firefox, "firefox").await;
    let numbers = [
        first.join(&link, "First").await.number(),
        second.join(&link, "Second").await.number(),
    ];
    let native = Native::join(&server.url(""), &room.code, &scene.folder);

    // Paused, so that the kill falls between two rounds for certain.
    first.sees("a round", |page| page.phase == "working").await;
    server.command(&room, "pause");
    first
        .sees("the pause", |page| {
            page.phase == "paused" && page.completed > Some(0)
        })
        .await;
    let before = server.room(&room.code);
    assert!(before.view.completed < ROUNDS);
    let native_number = native.client();
    server.kill();
    for tab in [&first, &second] {
        tab.sees("the lost server, in words", |page| {
            page.headline.contains("cannot be reached")
        })
        .await;
    }
    server.restart();

    let after = server.room(&room.code);
    assert_eq!(after.view.completed, before.view.completed);
    assert_eq!(after.hash(), before.hash());
    assert_eq!(after.history, before.history);
    for (tab, number) in [&first, &second].into_iter().zip(numbers) {
        let page = tab
            .sees("its place again", |page| {
                page.present() == 3 && page.members.iter().all(|member| member.state == "ready")
            })
            .await;
        assert_eq!(page.number(), number);
        assert_eq!(Some(page.hash), before.hash().map(|hash| hash.to_string()));
    }
    assert_eq!(native.client(), native_number);
    server.command(&room, "start");

    for tab in [&first, &second] {
        tab.sees("the last round", |page| {
            page.phase == "finished" && page.completed == Some(ROUNDS)
        })
        .await;
    }
    native.finished().await;
    let end = server.room(&room.code);
    let hash = end.hash().expect("all rounds are complete").to_string();
    for tab in [&first, &second] {
        tab.sees("the room's adapter", |page| page.hash == hash)
            .await;
    }
    assert_eq!(native.hash(), Some(hash));
    for round in 1..=ROUNDS {
        let record = end.completed(round).expect("every round is recorded");
        assert_eq!(record.participants.len(), 3, "{record:?}");
    }
    until("the accuracies of both lives", async || {
        let known = server.room(&room.code).evaluations.len();
        let all = ROUNDS as usize + 1;
        (known == all)
            .then_some(())
            .ok_or(format!("{known} of {all}"))
    })
    .await;
}
