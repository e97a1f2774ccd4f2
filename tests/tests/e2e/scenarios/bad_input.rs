//! What goes wrong by people's hands: each is answered in plain words, and nobody else suffers.

use std::fs;

use fl_core::settings::{Start, Texts};
use serde_json::json;

use crate::browser::Tab;
use crate::driver::Kind;
use crate::scene::{Scene, play};
use crate::settings;

#[tokio::test]
#[ignore = "needs browsers and the built binary; `cargo xtask test` runs it"]
async fn bad_input_is_answered_in_words() {
    play("bad_input_is_answered_in_words", async |scene| {
        let tab = scene.tab(Kind::Chromium, "first").await;
        let other = scene.tab(Kind::Chromium, "second").await;
        unknown_room(scene, &tab).await;
        full_room_then_leaving(scene, &tab, &other).await;
        two_tabs_with_one_identity(scene, &tab, &other).await;
        texts_without_their_column(scene, &tab).await;
    })
    .await;
}

async fn unknown_room(scene: &Scene, tab: &Tab) {
    tab.open(&scene.server.url("/")).await;
    tab.write("[data-testid=\"join-code\"]", "zzzzzz").await;
    tab.click("join-open").await;
    let fault = tab.told("unknown_room").await;
    assert!(fault.words.contains("no room with this code"), "{fault:?}");
}

async fn full_room_then_leaving(scene: &Scene, tab: &Tab, other: &Tab) {
    let mut settings = settings::quick("Full", 2, 3);
    settings.round.start = Start::Manual;
    settings.round.capacity = 2;
    let room = scene.server.create(&settings);
    let link = scene.link(&room.code);
    let third = scene.tab(Kind::Chromium, "third").await;
    tab.join(&link, "First").await;
    let second = other.join(&link, "Second").await.number();
    third.open(&link).await;
    third.click("join-button").await;
    let fault = third.told("room_full").await;
    assert!(fault.words.contains("full"), "{fault:?}");
    tab.sees("two members still", |page| page.present() == 2)
        .await;

    other.click("leave").await;
    let page = other.sees("its end", |page| !page.joined).await;
    assert!(page.headline.contains("left"), "{page:?}");
    tab.sees("one member less", |page| {
        page.members.iter().all(|member| member.client != second.0)
    })
    .await;
    // The place is free now.
    let again = third.element_at("[data-testid=\"fault\"] button").await;
    again.click().await.unwrap();
    third
        .sees("the place that is free now", |page| page.client.is_some())
        .await;
    third.close().await;
}

async fn two_tabs_with_one_identity(scene: &Scene, tab: &Tab, other: &Tab) {
    let mut settings = settings::quick("Twice", 2, 3);
    settings.round.start = Start::Manual;
    let room = scene.server.create(&settings);
    let link = scene.link(&room.code);
    let number = tab.join(&link, "First").await.number();
    // Copied as a browser does when a tab is duplicated.
    let kept: Vec<(String, String)> = tab
        .script("return Object.entries(sessionStorage)", vec![])
        .await;
    assert!(
        kept.iter().any(|(key, _)| key.ends_with(&room.code)),
        "no place is kept"
    );
    other.open(&scene.server.url("/")).await;
    let copy = "for (const [key, value] of arguments[0]) sessionStorage.setItem(key, value)";
    other.script::<Option<()>>(copy, vec![json!(kept)]).await;
    other.open(&link).await;
    let page = other
        .sees("the first tab's place", |page| page.client.is_some())
        .await;
    assert_eq!(page.number(), number);
    let fault = tab.told("replaced").await;
    assert!(fault.words.contains("tab"), "{fault:?}");
    let page = tab.look().await;
    assert!(page.headline.contains("another tab"), "{page:?}");
    // And back again, by the button that the first one offers.
    tab.click("take-over").await;
    let page = tab
        .sees("its place again", |page| page.client.is_some())
        .await;
    assert_eq!(page.number(), number);
    other.told("replaced").await;
    assert_eq!(tab.look().await.members.len(), 1);
}

async fn texts_without_their_column(scene: &Scene, tab: &Tab) {
    let mut settings = settings::quick("Own texts", 1, 1);
    settings.texts = Texts::Own;
    settings.round.start = Start::Manual;
    let room = scene.server.create(&settings);
    let bad = scene.folder.join("bad.csv");
    fs::write(&bad, "review,stars\nA fine place,5\nNever again,1\n").unwrap();
    tab.open(&scene.link(&room.code)).await;
    let input = tab.element("texts-input").await;
    input.send_keys(bad.display().to_string()).await.unwrap();
    tab.click("join-button").await;
    tab.told("bad_settings").await;
    let page = tab.look().await;
    for words in ["bad.csv", "text"] {
        assert!(page.headline.contains(words), "{page:?}");
    }

    // The same file with its columns named is taken.
    let good = scene.folder.join("good.csv");
    fs::write(
        &good,
        "text,label\nA fine place,positive\nNever again,negative\n",
    )
    .unwrap();
    let input = tab.element("texts-input").await;
    input.send_keys(good.display().to_string()).await.unwrap();
    tab.click("join-button").await;
    let page = tab.sees("its texts", |page| page.gold == Some(2)).await;
    assert!(page.client.is_some(), "{page:?}");
}
