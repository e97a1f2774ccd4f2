//! One interface to engines in the tab, in this process, and in Python's.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use browser_bench::Lpfl;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::flops::Kind;
use super::python::Python;
use super::tab::Tab;
use super::works::Folder;

/// An engine with a work loaded.
pub trait Engine {
    /// What each of some steps from the first adapter on came to: probabilities, or losses.
    ///
    /// # Errors
    /// When the engine fails.
    fn probe(&mut self, kind: Kind, steps: usize) -> Result<Vec<f32>>;

    /// Seconds of some steps from the first adapter on.
    ///
    /// # Errors
    /// When the engine fails.
    fn run(&mut self, kind: Kind, steps: usize) -> Result<f64>;
}

impl Kind {
    /// As it is printed, and as pages and Python know it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Infer => "INFER",
            Self::Train => "TRAIN",
        }
    }
}

/// An engine in the tab. Ends with this value.
pub struct InTab {
    tab: Rc<RefCell<Tab>>,
    key: u64,
}

impl InTab {
    /// Opens the engine of this name; also what it has to say of itself.
    ///
    /// # Errors
    /// What the page says.
    pub fn open(
        tab: &Rc<RefCell<Tab>>,
        key: u64,
        engine: &str,
        work: &str,
        workers: u32,
    ) -> Result<(Self, Option<String>)> {
        let order = json!({
            "op": "open", "key": key, "engine": engine, "work": work, "workers": workers,
        });
        let opened = Self {
            tab: Rc::clone(tab),
            key,
        };
        let answer = tab.borrow_mut().call(order)?;
        let detail = answer["detail"].as_str().map(str::to_owned);
        Ok((opened, detail))
    }

    /// Asks the engine something of its own, such as its memory.
    ///
    /// # Errors
    /// What the page says.
    pub fn ask<T: DeserializeOwned>(&self, mut order: Value) -> Result<T> {
        order["key"] = json!(self.key);
        let answer = self.tab.borrow_mut().call(order)?;
        Ok(serde_json::from_value(answer)?)
    }
}

impl Engine for InTab {
    fn probe(&mut self, kind: Kind, steps: usize) -> Result<Vec<f32>> {
        self.ask(json!({ "op": "probe", "kind": kind.text(), "steps": steps }))
    }

    fn run(&mut self, kind: Kind, steps: usize) -> Result<f64> {
        self.ask(json!({ "op": "run", "kind": kind.text(), "steps": steps }))
    }
}

impl Drop for InTab {
    fn drop(&mut self) {
        // A tab that is gone has ended its engines.
        let order = json!({ "op": "close", "key": self.key });
        let _ = self.tab.borrow_mut().call(order);
    }
}

/// Our learner in this process.
pub struct Native {
    engine: Lpfl,
    batches: usize,
}

impl Native {
    /// Loads a work.
    ///
    /// # Errors
    /// A file that does not fit.
    pub fn open(folder: &Folder) -> Result<Self> {
        Ok(Self {
            engine: Lpfl::new(&folder.files())?,
            batches: folder.work.batches.len(),
        })
    }

    fn step(&mut self, kind: Kind, index: usize) -> Result<Vec<f32>> {
        let number = index % self.batches;
        Ok(match kind {
            Kind::Infer => self.engine.infer(number)?,
            Kind::Train => vec![self.engine.train(number)?],
        })
    }
}

impl Engine for Native {
    fn probe(&mut self, kind: Kind, steps: usize) -> Result<Vec<f32>> {
        self.engine.reset();
        let mut numbers = Vec::new();
        for index in 0..steps {
            numbers.extend(self.step(kind, index)?);
        }
        Ok(numbers)
    }

    fn run(&mut self, kind: Kind, steps: usize) -> Result<f64> {
        self.engine.reset();
        let start = Instant::now();
        for index in 0..steps {
            self.step(kind, index)?;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

/// PyTorch and PEFT with a number of threads; several of these share one process.
pub struct InPython {
    pub python: Rc<RefCell<Python>>,
    pub threads: u32,
}

impl InPython {
    fn ask<T: DeserializeOwned>(&self, op: &str, kind: Kind, steps: usize) -> Result<T> {
        let order = json!({
            "op": op, "kind": kind.text(), "steps": steps, "threads": self.threads,
        });
        let answer = self.python.borrow_mut().call(&order)?;
        serde_json::from_value(answer).with_context(|| format!("Python's answer to {order}"))
    }
}

impl Engine for InPython {
    fn probe(&mut self, kind: Kind, steps: usize) -> Result<Vec<f32>> {
        self.ask("probe", kind, steps)
    }

    fn run(&mut self, kind: Kind, steps: usize) -> Result<f64> {
        self.ask("run", kind, steps)
    }
}
