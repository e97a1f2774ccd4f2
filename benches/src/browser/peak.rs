//! The SIMD peaks of one core in the tab, measured between the engines' turns.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::engine::InTab;
use super::measure::median;
use super::tab::Tab;

/// The loops and what they came to.
pub struct Peaks {
    plain: Loop,
    relaxed: Option<Loop>,
    int8: Option<Loop>,
}

struct Loop {
    page: InTab,
    /// Billions of operations a second.
    speeds: Vec<f64>,
}

/// Medians, in billions of operations a second.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Multiplication and addition apart.
    pub plain: f64,
    /// By relaxed SIMD's instruction for both, where the browser has it.
    pub relaxed: Option<f64>,
    /// The same with bytes instead of numbers of 32 bits: what int8 weights could gain at most.
    pub int8: Option<f64>,
}

impl Peaks {
    /// Loads the loops.
    ///
    /// # Errors
    /// When the browser has no SIMD.
    pub fn open(tab: &Rc<RefCell<Tab>>, keys: &mut impl Iterator<Item = u64>) -> Result<Self> {
        let mut open = |module: &str| -> Result<(InTab, Option<String>)> {
            let key = keys.next().context("no key is left")?;
            InTab::open(tab, key, "peak", module, 1)
        };
        let (plain, lack) = open("plain")?;
        if let Some(lack) = lack {
            bail!("the browser has no SIMD: {lack}");
        }
        let (relaxed, lack) = open("relaxed")?;
        let (int8, lacks_int8) = open("int8")?;
        let ready = |page| Loop {
            page,
            speeds: Vec::new(),
        };
        Ok(Self {
            plain: ready(plain),
            relaxed: lack.is_none().then(|| ready(relaxed)),
            int8: lacks_int8.is_none().then(|| ready(int8)),
        })
    }

    /// Runs each loop once.
    ///
    /// # Errors
    /// What the page says.
    pub fn measure(&mut self) -> Result<()> {
        let loops = std::iter::once(&mut self.plain);
        for each in loops.chain(&mut self.relaxed).chain(&mut self.int8) {
            each.speeds.push(each.page.ask(json!({ "op": "peak" }))?);
        }
        Ok(())
    }

    /// What was measured so far.
    pub fn medians(&self) -> Peak {
        let speed = |each: &Loop| median(each.speeds.clone());
        Peak {
            plain: speed(&self.plain),
            relaxed: self.relaxed.as_ref().map(speed),
            int8: self.int8.as_ref().map(speed),
        }
    }
}

impl Peak {
    /// What shares are of: the peak with relaxed SIMD where there is one.
    pub fn best(&self) -> f64 {
        self.relaxed.unwrap_or(self.plain)
    }
}
