//! A person at the page while it trains: pausing, typing, and doing all of it by keyboard.

use serde_json::Value;
use thirtyfour::Key;

use crate::browser::Tab;
use crate::driver::Kind;
use crate::page::Page;
use crate::scene::{Scene, play};
use crate::settings;

#[tokio::test]
#[ignore = "needs browsers and the built binary; `cargo xtask test` runs it"]
async fn commands_get_through_while_training() {
    play("commands_get_through_while_training", pause).await;
}

#[tokio::test]
#[ignore = "needs browsers and the built binary; `cargo xtask test` runs it"]
async fn page_stays_responsive_while_training() {
    play("page_stays_responsive_while_training", responsive).await;
}

#[tokio::test]
#[ignore = "needs browsers and the built binary; `cargo xtask test` runs it"]
async fn keyboard_alone_joins_a_room() {
    play("keyboard_alone_joins_a_room", keyboard).await;
}

async fn pause(scene: &Scene) {
    let room = scene.server.create(&settings::slow("Pause", 2, 1, 50));
    let link = scene.link(&room.code);
    let pauses = scene.tab(Kind::Chromium, "pauses").await;
    let works = scene.tab(Kind::Chromium, "works").await;
    pauses.join(&link, "Pauses").await;
    let other = works.join(&link, "Works").await.number();
    pauses.sees("its own training", Page::is_training).await;
    pauses.click("pause").await;
    // The answer comes after the pause: whatever step was under way is over.
    let stopped = pauses.ask("A quiet evening with good food.").await;
    assert!(stopped.is_training(), "{stopped:?}");
    assert!(stopped.headline.contains("paused"), "{stopped:?}");
    let stopped = own_progress(&pauses).await;
    // The other tab's whole round is the clock.
    pauses
        .sees("the other tab's report", |page| {
            let mut members = page.members.iter();
            members.any(|member| member.client == other.0 && member.state == "reported")
        })
        .await;
    assert_eq!(own_progress(&pauses).await, stopped);
    assert_eq!(scene.server.room(&room.code).view.completed, 0);

    pauses.click("pause").await;
    pauses
        .sees("the end of the round", |page| page.completed == Some(1))
        .await;
    let room = scene.server.room(&room.code);
    assert_eq!(room.completed(1).unwrap().participants.len(), 2);
}

/// How far this tab is, as everyone sees it.
async fn own_progress(tab: &Tab) -> f64 {
    let page = tab.look().await;
    page.me().and_then(|me| me.progress).unwrap_or(1.0)
}

async fn responsive(scene: &Scene) {
    const SENTENCE: &str = "Typed while the model trains in its worker.";
    let room = scene.server.create(&settings::slow("Typing", 1, 1, 50));
    let tab = scene.tab(Kind::Chromium, "types").await;
    tab.join(&scene.link(&room.code), "Types").await;
    tab.script::<Value>(WATCH, vec![]).await;
    tab.sees("its own training", Page::is_training).await;
    tab.write("[data-testid=\"try-input\"]", SENTENCE).await;
    let typed = tab.look().await;
    let keys: usize = tab.script("return window.seen.keys", vec![]).await;
    assert_eq!(keys, SENTENCE.chars().count());
    assert!(
        typed.is_training(),
        "the training was over before the typing: {typed:?}"
    );
    tab.sees("the end of the round", |page| page.completed == Some(1))
        .await;
    let (frames, changes): (u32, u32) = tab
        .script("return [window.seen.frames, window.seen.changes]", vec![])
        .await;
    println!("{frames} frames while the tab's progress changed {changes} times");
    // Work on the page's own thread would let it draw once per step at most.
    assert!(
        changes > 0 && 2 * frames > 3 * changes,
        "{frames} {changes}"
    );
}

/// Counts keys that arrive, and frames drawn from the first to the last change of the progress.
const WATCH: &str = r#"
    const seen = { keys: 0, frames: 0, changes: 0 };
    window.seen = seen;
    let drawn = 0;
    let first = null;
    const draw = () => { drawn += 1; requestAnimationFrame(draw); };
    requestAnimationFrame(draw);
    addEventListener('input', () => { seen.keys += 1; }, true);
    const detail = document.querySelector('[data-testid="status"] .detail');
    let before = '';
    new MutationObserver(() => {
        const step = /Step \d+/.exec(detail.textContent)?.[0] ?? '';
        if (step === before || step === '') return;
        before = step;
        first ??= drawn;
        seen.changes += 1;
        seen.frames = drawn - first;
    }).observe(detail, { characterData: true, childList: true, subtree: true });
    return null;
"#;

async fn keyboard(scene: &Scene) {
    let room = scene.server.create(&settings::quick("Keyboard", 1, 1));
    let tab = scene.tab(Kind::Chromium, "keyboard").await;
    tab.open(&scene.server.url("/")).await;
    tab.tab_to("join-code").await;
    for character in room.code.chars() {
        tab.press(character).await;
    }
    tab.press(Key::Enter).await;
    tab.tab_to("join-button").await;
    tab.press(Key::Enter).await;
    tab.sees("its place, and the round", |page| {
        page.client.is_some() && page.completed == Some(1)
    })
    .await;
}
