//! The SIMD peak of one core in the tab, measured between the engines' turns.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::engine::InTab;
use super::measure::median;
use super::tab::Tab;

/// Both loops and what they came to.
pub struct Peaks {
    plain: Loop,
    relaxed: Option<Loop>,
}

struct Loop {
    page: InTab,
    gflops: Vec<f64>,
}

/// Medians, in GFLOP/s.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// Multiplication and addition apart.
    pub plain: f64,
    /// By relaxed SIMD's instruction for both, where the browser has it.
    pub relaxed: Option<f64>,
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
        let ready = |page| Loop {
            page,
            gflops: Vec::new(),
        };
        Ok(Self {
            plain: ready(plain),
            relaxed: lack.is_none().then(|| ready(relaxed)),
        })
    }

    /// Runs each loop once.
    ///
    /// # Errors
    /// What the page says.
    pub fn measure(&mut self) -> Result<()> {
        for each in std::iter::once(&mut self.plain).chain(&mut self.relaxed) {
            each.gflops.push(each.page.ask(json!({ "op": "peak" }))?);
        }
        Ok(())
    }

    /// What was measured so far.
    pub fn medians(&self) -> Peak {
        let relaxed = self.relaxed.as_ref();
        Peak {
            plain: median(self.plain.gflops.clone()),
            relaxed: relaxed.map(|relaxed| median(relaxed.gflops.clone())),
        }
    }
}

impl Peak {
    /// What shares are of: the peak with relaxed SIMD where there is one.
    pub fn best(&self) -> f64 {
        self.relaxed.unwrap_or(self.plain)
    }
}
