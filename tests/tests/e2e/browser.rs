//! One browser with its tabs: each tab a window of its own, driven by WebDriver.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use thirtyfour::{By, Key, WebElement, WindowHandle};

use crate::driver::{Driver, Kind};
use crate::wait::until;

/// A browser and the window that its session looks at.
pub struct Browser {
    driver: Driver,
    /// Windows share the session: each command goes to the one switched to.
    current: RefCell<WindowHandle>,
    used: RefCell<bool>,
}

/// One tab, in a window of its own so that it stays visible beside the others.
#[derive(Clone)]
pub struct Tab {
    /// For messages and file names.
    pub name: String,
    browser: Rc<Browser>,
    window: WindowHandle,
}

impl Browser {
    /// Starts a browser with an empty profile.
    pub async fn start(kind: Kind, folder: &Path) -> Rc<Self> {
        let driver = Driver::start(kind, folder).await;
        let window = driver.session.window().await.unwrap();
        Rc::new(Self {
            driver,
            current: RefCell::new(window),
            used: RefCell::new(false),
        })
    }

    /// A tab; the browser's first window is the first.
    pub async fn tab(self: &Rc<Self>, name: &str) -> Tab {
        let session = &self.driver.session;
        let window = if self.used.replace(true) {
            session.new_window().await.unwrap()
        } else {
            self.current.borrow().clone()
        };
        Tab {
            name: name.into(),
            browser: Rc::clone(self),
            window,
        }
    }

    /// Ends the browser and its driver.
    pub async fn quit(self: Rc<Self>) {
        if let Some(browser) = Rc::into_inner(self) {
            browser.driver.quit().await;
        }
    }
}

impl Tab {
    /// The session, looking at this tab.
    async fn session(&self) -> Result<&thirtyfour::WebDriver, String> {
        let session = &self.browser.driver.session;
        let looks_here = *self.browser.current.borrow() == self.window;
        if !looks_here {
            let window = self.window.clone();
            session.switch_to_window(window).await.map_err(words)?;
            self.browser.current.replace(self.window.clone());
        }
        Ok(session)
    }

    /// Opens an address.
    pub async fn open(&self, url: &str) {
        self.session().await.unwrap().goto(url).await.unwrap();
    }

    /// Loads the page anew.
    pub async fn reload(&self) {
        self.session().await.unwrap().refresh().await.unwrap();
    }

    /// Closes the tab, as its cross does.
    pub async fn close(&self) {
        let session = self.session().await.unwrap();
        session.close_window().await.unwrap();
        // The session looks at nothing now: the next command switches.
        let nowhere = WindowHandle::from("closed".to_owned());
        self.browser.current.replace(nowhere);
    }

    /// Runs a script in the page, which may not be there yet.
    pub async fn try_script<T: DeserializeOwned>(
        &self,
        script: &str,
        arguments: Vec<Value>,
    ) -> Result<T, String> {
        let session = self.session().await?;
        let answer = session.execute(script, arguments).await.map_err(words)?;
        serde_json::from_value(answer.json().clone()).map_err(|error| error.to_string())
    }

    /// Runs a script in the page.
    pub async fn script<T: DeserializeOwned>(&self, script: &str, arguments: Vec<Value>) -> T {
        let answer = self.try_script(script, arguments).await;
        answer.unwrap_or_else(|error| panic!("{}: {script}: {error}", self.name))
    }

    /// The element with this `data-testid`, once it is there and enabled.
    pub async fn element(&self, test_id: &str) -> WebElement {
        self.element_at(&format!("[data-testid=\"{test_id}\"]"))
            .await
    }

    /// The element of this CSS selector, once it is there and enabled.
    pub async fn element_at(&self, selector: &str) -> WebElement {
        until(&format!("{selector} in {}", self.name), async || {
            let session = self.session().await?;
            let element = session.find(By::Css(selector)).await.map_err(words)?;
            match element.is_enabled().await {
                Ok(true) => Ok(element),
                other => Err(format!("{other:?}")),
            }
        })
        .await
    }

    /// Clicks the element with this `data-testid`.
    pub async fn click(&self, test_id: &str) {
        // A page that draws anew may replace the element between finding and clicking it.
        until(&format!("a click on {test_id}"), async || {
            let element = self.element(test_id).await;
            element.click().await.map_err(words)
        })
        .await;
    }

    /// Writes over what stands in the field of this CSS selector, key by key.
    pub async fn write(&self, selector: &str, text: &str) {
        let element = self.element_at(selector).await;
        element.send_keys(Key::Control + "a").await.unwrap();
        element.send_keys(text).await.unwrap();
        let written = element.prop("value").await.unwrap();
        assert_eq!(written.as_deref(), Some(text), "{selector}");
    }

    /// Presses a key, whatever has the focus.
    pub async fn press(&self, key: impl Into<char>) {
        let session = self.session().await.unwrap();
        let chain = session.action_chain().send_keys(String::from(key.into()));
        chain.perform().await.unwrap();
    }

    /// Moves the focus on with Tab until it is on the element with this `data-testid`.
    pub async fn tab_to(&self, test_id: &str) {
        const FOCUSED: &str = "return document.activeElement?.dataset?.testid ?? ''";
        self.element(test_id).await;
        let mut seen = Vec::new();
        for _ in 0..80 {
            self.press(Key::Tab).await;
            let focused: String = self.script(FOCUSED, vec![]).await;
            if focused == test_id {
                return;
            }
            seen.push(focused);
        }
        panic!("{test_id} is not reached with Tab; the focus was on {seen:?}");
    }

    /// A command of Chromium's developer tools.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let session = self.session().await.unwrap();
        session.cdp().send_raw(command, parameters).await.unwrap()
    }

    /// What the window shows, as PNG.
    pub async fn picture(&self) -> Result<Vec<u8>, String> {
        let session = self.session().await?;
        session.screenshot_as_png().await.map_err(words)
    }
}

fn words(error: thirtyfour::error::WebDriverError) -> String {
    error.to_string()
}
