//! A tab's place in its room: taken back after a reload, given up by closing.

use fl_core::protocol::ClientId;

use crate::driver::Kind;
use crate::page::Page;
use crate::scene::{Scene, play};
use crate::settings;

#[tokio::test]
#[ignore = "needs browsers and the built binary; `cargo xtask test` runs it"]
async fn reloaded_tab_takes_its_place_again() {
    play("reloaded_tab_takes_its_place_again", reload).await;
}

#[tokio::test]
#[ignore = "needs browsers and the built binary; `cargo xtask test` runs it"]
async fn closed_tab_does_not_hold_the_round() {
    play("closed_tab_does_not_hold_the_round", close).await;
}

async fn reload(scene: &Scene) {
    let mut settings = settings::slow("Reload", 2, 1, 50);
    // A reload on a busy machine loads the page and the model anew within this time.
    settings.round.grace_seconds = 200;
    let room = scene.server.create(&settings);
    let link = scene.link(&room.code);
    let (stays, reloads) = (
        scene.tab(Kind::Chromium, "stays").await,
        scene.tab(Kind::Firefox, "reloads").await,
    );
    stays.join(&link, "Stays").await;
    let before = reloads.join(&link, "Reloads").await.number();
    reloads.sees("its own training", Page::is_training).await;
    reloads.reload().await;
    let after = reloads
        .sees("its place again", |page| page.client.is_some())
        .await;
    assert_eq!(after.number(), before);
    let page = stays
        .sees("the end of the round", |page| page.completed == Some(1))
        .await;

    let record = scene.server.room(&room.code).completed(1).cloned().unwrap();
    assert_eq!(record.attempt, 1, "{record:?}");
    assert!(record.participants.contains(&before), "{record:?}");
    assert_eq!(record.participants.len(), 2, "{record:?}");
    reloads
        .sees("the room's adapter", |other| other.hash == page.hash)
        .await;
    assert_eq!(reloads.look().await.members.len(), 2);
}

async fn close(scene: &Scene) {
    let mut settings = settings::slow("Close", 2, 1, 50);
    settings.round.grace_seconds = 2;
    let room = scene.server.create(&settings);
    let link = scene.link(&room.code);
    let (stays, closes) = (
        scene.tab(Kind::Chromium, "stays").await,
        scene.tab(Kind::Chromium, "closes").await,
    );
    stays.join(&link, "Stays").await;
    let gone = closes.join(&link, "Closes").await.number();
    closes.sees("its own training", Page::is_training).await;
    closes.close().await;
    let page = stays
        .sees("the end of the round", |page| page.completed == Some(1))
        .await;

    let room = scene.server.room(&room.code);
    let record = room.completed(1).unwrap();
    assert_eq!(record.participants, [page.number()], "{record:?}");
    let excluded: Vec<ClientId> = record.excluded.iter().map(|left| left.client).collect();
    assert_eq!(excluded, [gone], "{record:?}");
    let reason = &record.excluded[0].reason;
    assert!(reason.contains("connection"), "{reason}");
    let told: String = stays
        .script(
            r#"return document.querySelector('[data-testid="round-history"]').textContent"#,
            vec![],
        )
        .await;
    for words in ["Closes was left out", reason] {
        assert!(told.contains(words), "{told}");
    }
}
