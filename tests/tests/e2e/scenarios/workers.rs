//! Several workers in one tab: helpers with the model from the client's worker do their part.

use crate::driver::Kind;
use crate::page::Page;
use crate::scene::{Scene, play};
use crate::settings;

#[tokio::test]
#[ignore = "needs browsers and the built binary; `cargo xtask test` runs it"]
async fn helpers_share_a_tab_s_work() {
    play("helpers_share_a_tab_s_work", share).await;
}

/// In both browsers: each has its own way with workers of workers.
async fn share(scene: &Scene) {
    let room = scene.server.create(&settings::slow("Workers", 2, 2, 50));
    let link = format!("{}?workers=2", scene.link(&room.code));
    let tabs = [
        scene.tab(Kind::Chromium, "chromium").await,
        scene.tab(Kind::Firefox, "firefox").await,
    ];
    for (tab, name) in tabs.iter().zip(["First", "Second"]) {
        tab.join(&link, name).await;
    }
    for tab in &tabs {
        tab.sees("its helper's work", |page| {
            page.workers == 2 && page.helped > 0
        })
        .await;
    }
    let ended = |page: &Page| page.completed == Some(2) && page.phase == "finished";
    let hash = tabs[0].sees("both rounds", ended).await.hash;
    tabs[1]
        .sees("the same adapter", |page| ended(page) && page.hash == hash)
        .await;
    for tab in &tabs {
        assert!(tab.look().await.faults.is_empty());
    }
    // A person takes the helper back.
    let chosen: String = tabs[0]
        .script(
            r#"const field = document.querySelector('[data-testid="cores"]');
               field.value = '1';
               field.dispatchEvent(new Event('change', { bubbles: true }));
               return localStorage.getItem('lpfl:cores');"#,
            vec![],
        )
        .await;
    assert_eq!(chosen, "1");
    tabs[0]
        .sees("no helper any more", |page| page.workers == 1)
        .await;
}
