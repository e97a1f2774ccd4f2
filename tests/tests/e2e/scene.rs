//! One scenario's server, browsers and tabs, and what is kept of them when it fails.

use std::cell::RefCell;
use std::fs;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures_util::FutureExt as _;

use crate::browser::{Browser, Tab};
use crate::driver::Kind;
use crate::programs;
use crate::server::Server;

/// What a scenario plays in.
pub struct Scene {
    /// Where logs and pictures go.
    pub folder: PathBuf,
    /// The server.
    pub server: Server,
    browsers: RefCell<Vec<(Kind, Rc<Browser>)>>,
    tabs: RefCell<Vec<Tab>>,
}

impl Scene {
    fn set(name: &str) -> Self {
        let folder = programs::output().join(name);
        // Left from an earlier run, if there was one.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self {
            server: Server::start(&folder),
            folder,
            browsers: RefCell::default(),
            tabs: RefCell::default(),
        }
    }

    /// A new tab; the first of its kind starts the browser.
    pub async fn tab(&self, kind: Kind, name: &str) -> Tab {
        let known = self.browsers.borrow().iter().find_map(|(other, browser)| {
            let same = *other == kind;
            same.then(|| Rc::clone(browser))
        });
        let browser = match known {
            Some(browser) => browser,
            None => {
                let browser = Browser::start(kind, &self.folder).await;
                let kept = Rc::clone(&browser);
                self.browsers.borrow_mut().push((kind, kept));
                browser
            }
        };
        let tab = browser.tab(name).await;
        self.tabs.borrow_mut().push(tab.clone());
        tab
    }

    /// A room's link.
    pub fn link(&self, code: &str) -> String {
        self.server.url(&format!("/r/{code}"))
    }

    /// Keeps what every tab shows, for whoever looks into the failure.
    async fn keep_evidence(&self) {
        let tabs = self.tabs.borrow().clone();
        for tab in tabs {
            let path = |ending: &str| self.folder.join(format!("{}.{ending}", tab.name));
            if let Ok(picture) = tab.picture().await {
                keep(&path("png"), &picture);
            }
            let page = "return document.documentElement.outerHTML";
            if let Ok(page) = tab.try_script::<String>(page, vec![]).await {
                keep(&path("html"), page.as_bytes());
            }
        }
        eprintln!(
            "pictures, pages and logs of the failure lie in {}",
            self.folder.display()
        );
    }

    async fn end(self) {
        self.tabs.take();
        for (_, browser) in self.browsers.take() {
            browser.quit().await;
        }
    }
}

/// Plays a scenario and ends everything that it started, also when it fails.
pub async fn play(name: &str, scenario: impl AsyncFnOnce(&Scene)) {
    let scene = Scene::set(name);
    let outcome = AssertUnwindSafe(scenario(&scene)).catch_unwind().await;
    if outcome.is_err() {
        scene.keep_evidence().await;
    }
    scene.end().await;
    if let Err(cause) = outcome {
        resume_unwind(cause);
    }
}

fn keep(path: &Path, content: &[u8]) {
    if let Err(error) = fs::write(path, content) {
        eprintln!("{} cannot be written: {error}", path.display());
    }
}
