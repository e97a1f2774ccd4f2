//! Pictures of the page, to be looked at: wide and narrow, light and dark.

use std::fs;

use serde_json::{Value, json};

use crate::browser::Tab;
use crate::programs;
use crate::wait::until;

/// Name and width in pixels.
const SIZES: [(&str, u32); 2] = [("wide", 1280), ("narrow", 390)];

/// The whole page in every size and colour scheme; in none of them may it scroll sideways.
///
/// Chromium only: its developer tools emulate both.
pub async fn take(tab: &Tab, name: &str) {
    for (size, width) in SIZES {
        emulate_size(tab, width, 900).await;
        // The chart takes its new size a moment after the window.
        let height = until(&format!("{name} to fit {width} pixels"), async || {
            let [there, wanted, height] = measure(tab).await;
            let fits = wanted <= there;
            fits.then_some(height)
                .ok_or_else(|| format!("{wanted} wide, not {there}"))
        })
        .await;
        emulate_size(tab, width, height).await;
        for scheme in ["light", "dark"] {
            emulate_scheme(tab, scheme).await;
            // Until it is drawn anew.
            tab.script::<Value>(
                "return new Promise((done) => \
                 requestAnimationFrame(() => requestAnimationFrame(() => done(null))))",
                vec![],
            )
            .await;
            take_plain(tab, &format!("{name}-{size}-{scheme}")).await;
        }
    }
    emulate_scheme(tab, "").await;
    let nothing = json!({});
    tab.devtools("Emulation.clearDeviceMetricsOverride", nothing)
        .await;
}

/// What the window shows, in any browser.
pub async fn take_plain(tab: &Tab, name: &str) {
    let folder = programs::output().join("screenshots");
    fs::create_dir_all(&folder).unwrap();
    let picture = tab.picture().await.unwrap();
    fs::write(folder.join(format!("{name}.png")), picture).unwrap();
}

/// Width of the window, width of the page, and height of the page.
async fn measure(tab: &Tab) -> [u32; 3] {
    let measures = "const page = document.documentElement; \
                    return [page.clientWidth, page.scrollWidth, page.scrollHeight]";
    tab.script(measures, vec![]).await
}

async fn emulate_size(tab: &Tab, width: u32, height: u32) {
    let size = json!({
        "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
    });
    tab.devtools("Emulation.setDeviceMetricsOverride", size)
        .await;
}

async fn emulate_scheme(tab: &Tab, scheme: &str) {
    let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    tab.devtools("Emulation.setEmulatedMedia", scheme).await;
}
