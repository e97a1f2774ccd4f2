//! How long a tab takes from the opening of a room's link to its first training step.

use std::fs;

use serde_json::json;

use crate::browser::{Browser, Tab};
use crate::driver::Kind;
use crate::programs;
use crate::scene::{Scene, play};
use crate::settings;

/// Browsers with an empty cache, each of which then opens the page once more.
const BROWSERS: usize = 3;

/// Joins as soon as the page lets it, and waits for the tab's own first step. Milliseconds since
/// the page was asked for, of both.
const JOIN_AT_ONCE: &str = r#"
    const one = (selector) => document.querySelector(selector);
    return new Promise((done) => {
        let usable = null;
        const look = () => {
            const button = one('[data-testid="join-button"]');
            if (usable === null && button && !button.disabled) {
                usable = performance.now();
                button.click();
            }
            const { client } = one('[data-testid="room"]')?.dataset ?? {};
            const row = client ? one(`[data-testid="roster"] > [data-client="${client}"]`) : null;
            if (row?.dataset.state === 'training' && row.querySelector('progress')?.value > 0) {
                return done([usable, performance.now()]);
            }
            requestAnimationFrame(look);
        };
        look();
    });
"#;

#[tokio::test]
#[ignore = "needs a browser and the built binary; `cargo xtask test` runs it"]
async fn first_step_after_a_cold_and_a_warm_start() {
    play("first_step_after_a_cold_and_a_warm_start", async |scene| {
        let mut starts = [Vec::new(), Vec::new()];
        for _ in 0..BROWSERS {
            let browser = Browser::start(Kind::Chromium, &scene.folder).await;
            let tab = browser.tab("alone").await;
            for starts in &mut starts {
                starts.push(start(scene, &tab).await);
            }
            drop(tab);
            browser.quit().await;
        }
        let [cold, warm] = starts;
        keep(&[("cold", cold), ("warm", warm)]);
    })
    .await;
}

/// Milliseconds until the page can be used, and until the first step is seen.
async fn start(scene: &Scene, tab: &Tab) -> [f64; 2] {
    // A room for one, whose round lasts long enough to be seen.
    let room = scene.server.create(&settings::slow("Alone", 1, 1, 8));
    tab.open(&scene.link(&room.code)).await;
    let [usable, stepped]: [f64; 2] = tab.script(JOIN_AT_ONCE, vec![]).await;
    assert!(
        0.0 < usable && usable < stepped,
        "{usable} ms, {stepped} ms"
    );
    tab.open("about:blank").await;
    [usable, stepped]
}

/// Leaves the medians for `cargo xtask bench browser`: for programs, and for people.
fn keep(starts: &[(&str, Vec<[f64; 2]>)]) {
    let (mut lines, mut sentences) = (String::new(), String::new());
    for (cache, starts) in starts {
        let [usable, stepped] = [0, 1].map(|place| median(starts, place));
        let line = json!({
            "what": "first_step", "browser": "chromium", "cache": cache,
            "usable_ms": usable.round(), "first_step_ms": stepped.round(),
        });
        lines += &format!("{line}\n");
        sentences += &format!(
            "from the link to the first training step, {cache} cache: {:.2} s, {:.2} s of it until \
             the page could be used\n",
            stepped / 1e3,
            usable / 1e3,
        );
    }
    print!("{sentences}");
    let output = programs::output();
    fs::write(output.join("first-step.jsonl"), lines).unwrap();
    fs::write(output.join("first-step.txt"), sentences).unwrap();
}

fn median(starts: &[[f64; 2]], place: usize) -> f64 {
    let mut times: Vec<f64> = starts.iter().map(|start| start[place]).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
