//! A progress bar on standard error, where a terminal is attached.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over so many texts; hidden where nobody would see it.
pub fn bar(texts: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(texts as u64).with_message(what);
    let template = "{msg} {wide_bar} {pos} of {len} texts, {eta} left";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
