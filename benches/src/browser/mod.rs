//! How fast the learner trains and asks in a browser tab, against others at the same work.

mod engine;
mod flops;
mod measure;
mod peak;
mod python;
mod random;
mod report;
mod site;
mod tab;
mod works;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use engine::{Engine, InPython, InTab, Native};
use flops::Kind;
use measure::{Effort, Entry};
use peak::Peaks;
use python::Interpreter;
use report::{Report, Size};
use site::Roots;
use tab::Tab;
use works::{Bundled, Folder, Name};

/// What to measure, and how thoroughly.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// In Firefox instead of Chromium
    #[arg(long)]
    firefox: bool,
    /// Measure this work alone (repeatable)
    #[arg(long = "work", value_name = "NAME", value_enum, ignore_case = true)]
    works: Vec<Name>,
    /// Short runs of ours and plain candle training MINI alone; fail where ours is not clearly
    /// faster
    #[arg(long)]
    quick: bool,
    /// Directory of the bundled model
    #[arg(long, value_name = "DIR", default_value = "models/default")]
    model: PathBuf,
    /// Where the bundled texts lie
    #[arg(long, value_name = "DIR", default_value = "corpora")]
    corpora: PathBuf,
    /// The page, with its packages installed
    #[arg(long, value_name = "DIR", default_value = "benches/browser/page")]
    page: PathBuf,
    /// Python's programs
    #[arg(long, value_name = "DIR", default_value = "benches/browser/python")]
    python: PathBuf,
    /// Where xtask put the WebAssembly modules, and where the works are written
    #[arg(long, value_name = "DIR", default_value = "target/browser-bench")]
    scratch: PathBuf,
    /// The browser client's module, whose size is printed
    #[arg(
        long,
        value_name = "FILE",
        default_value = "client-wasm/pkg/client_wasm_bg.wasm"
    )]
    client: PathBuf,
}

const BOTH: &[Kind] = &[Kind::Infer, Kind::Train];
const INFER: &[Kind] = &[Kind::Infer];
const TRAIN: &[Kind] = &[Kind::Train];

const THOROUGH: Effort = Effort {
    rounds: 7,
    seconds: 0.8,
    warm_up: 4.0,
};
const QUICK: Effort = Effort {
    rounds: 5,
    seconds: 0.5,
    warm_up: 4.0,
};

/// Ours trains MINI at least this many times as fast as plain candle, or `--quick` fails.
const LEAST: f64 = 1.5;

/// Training steps over which memory must not grow.
const STEPS: u32 = 1000;
/// Steps after which every buffer has been needed.
const WARM_STEPS: u32 = 20;

/// Measures everything that was asked for, and prints it.
///
/// # Errors
/// A browser or module that is missing, engines that disagree, memory that grows, and in quick
/// runs too little speed.
pub fn run(arguments: &Arguments) -> Result<()> {
    let bench = Bench::start(arguments)?;
    match arguments.quick {
        true => bench.quick(),
        false => bench.thorough(),
    }
}

struct Bench<'a> {
    arguments: &'a Arguments,
    browser: tab::Kind,
    tab: Rc<RefCell<Tab>>,
    keys: RefCell<std::ops::RangeFrom<u64>>,
    interpreter: Interpreter,
}

impl<'a> Bench<'a> {
    fn start(arguments: &'a Arguments) -> Result<Self> {
        let modules = arguments.scratch.join("pkg");
        ensure!(
            modules.is_dir(),
            "{} is missing; start this as `cargo xtask bench browser`, which builds it",
            modules.display()
        );
        let browser = match arguments.firefox {
            true => tab::Kind::Firefox,
            false => tab::Kind::Chromium,
        };
        let roots = Roots {
            page: arguments.page.clone(),
            modules,
            works: arguments.scratch.join("work"),
        };
        Ok(Self {
            arguments,
            browser,
            tab: Rc::new(RefCell::new(Tab::start(browser, roots)?)),
            keys: RefCell::new(0..),
            interpreter: Interpreter::find(&arguments.python),
        })
    }

    fn write(&self, name: Name) -> Result<Folder> {
        let bundled = Bundled {
            model: &self.arguments.model,
            corpora: &self.arguments.corpora,
        };
        name.write(&self.arguments.scratch.join("work"), &bundled)
    }

    /// Ours and plain candle on MINI: whether ours is still clearly the faster one.
    fn quick(&self) -> Result<()> {
        let folder = self.write(Name::Mini)?;
        let mut entries = vec![
            self.in_tab(&folder, "lpfl", 1, TRAIN)?,
            self.in_tab(&folder, "candle-in-our-build", 1, TRAIN)?,
        ];
        let figures = measure::measure(&folder, &mut entries, QUICK, || Ok(()))?;
        let speed = |engine: &str| {
            let found = figures.iter().find(|figure| figure.engine == engine);
            found.map_or(f64::NAN, |figure| figure.sequences_per_second)
        };
        let (ours, candle) = (speed("lpfl"), speed("candle-in-our-build"));
        println!(
            "MINI TRAIN in {}: lpfl {ours:.1} sequences/s, plain candle {candle:.1}, {:.2} ×",
            self.browser.text(),
            ours / candle
        );
        ensure!(
            ours >= LEAST * candle,
            "lpfl trains {:.2} times as fast as plain candle, expected {LEAST} at least; look at \
             what changed in learner/src/ops",
            ours / candle
        );
        Ok(())
    }

    fn thorough(&self) -> Result<()> {
        let asked = &self.arguments.works;
        let names = [Name::Mini, Name::Small, Name::Real, Name::Base].into_iter();
        let names: Vec<Name> = names
            .filter(|name| asked.is_empty() || asked.contains(name))
            .collect();
        let report = Report {
            browser: self.browser.text(),
            as_json: self.arguments.json,
        };
        let mut peaks = Peaks::open(&self.tab, &mut *self.keys.borrow_mut())?;
        for name in &names {
            eprintln!("{}: loading the engines", name.text());
            let folder = self.write(*name)?;
            let mut entries = self.entries(&folder)?;
            eprintln!("{}: comparing and timing them", name.text());
            let figures = measure::measure(&folder, &mut entries, THOROUGH, || peaks.measure())?;
            report.figures(&figures, peaks.medians());
            drop(entries);
            report.memory(name.text(), self.memory(&folder, WARM_STEPS)?.1);
        }
        report.peak(peaks.medians());
        if let Some(size) = self.client_size()? {
            report.client(size);
        }
        if names.contains(&Name::Mini) {
            eprintln!("MINI: {STEPS} training steps");
            let (first, last) = self.memory(&self.write(Name::Mini)?, STEPS)?;
            let bytes = last.saturating_sub(first);
            report.growth(Name::Mini.text(), STEPS, bytes);
            ensure!(
                bytes == 0,
                "memory grew by {bytes} bytes over {STEPS} training steps, expected none"
            );
        }
        Ok(())
    }

    /// Every engine that there is for a work, ours first: the others are compared with it.
    fn entries(&self, folder: &Folder) -> Result<Vec<Entry>> {
        let mut entries = vec![
            self.in_tab(folder, "lpfl", 1, BOTH)?,
            self.in_tab(folder, "lpfl", 2, BOTH)?,
            Entry {
                engine: Box::new(Native::open(folder)?),
                name: "lpfl-native",
                workers: 1,
                kinds: BOTH,
            },
        ];
        if folder.name == Name::Base {
            return Ok(entries);
        }
        entries.insert(2, self.in_tab(folder, "candle", 1, BOTH)?);
        entries.insert(3, self.in_tab(folder, "candle-in-our-build", 1, BOTH)?);
        if folder.name == Name::Real {
            return Ok(entries);
        }
        entries.push(self.in_tab(folder, "tfjs", 1, TRAIN)?);
        let peft = "torch, transformers, peft, safetensors";
        if let Some(lack) = self.interpreter.lacks(peft) {
            eprintln!("pytorch-peft and onnxruntime-web are left out: {lack}");
            return Ok(entries);
        }
        let python = Rc::new(RefCell::new(self.interpreter.start(&folder.path)?));
        for threads in [1, 2] {
            let python = Rc::clone(&python);
            entries.push(Entry {
                engine: Box::new(InPython { python, threads }),
                name: "pytorch-peft",
                workers: threads,
                kinds: BOTH,
            });
        }
        if let Some(lack) = self.interpreter.lacks("onnx, onnxscript") {
            eprintln!("onnxruntime-web is left out: {lack}");
            return Ok(entries);
        }
        self.interpreter.export(&folder.path)?;
        for threads in [1, 2] {
            entries.push(self.in_tab(folder, "onnxruntime-web", threads, INFER)?);
        }
        Ok(entries)
    }

    fn in_tab(
        &self,
        folder: &Folder,
        name: &'static str,
        workers: u32,
        kinds: &'static [Kind],
    ) -> Result<Entry> {
        let (engine, detail) = self.open(folder, name, workers)?;
        if let Some(detail) = detail {
            eprintln!("{}: {name} with the {detail}", folder.name.text());
        }
        Ok(Entry {
            engine: Box::new(engine),
            name,
            workers,
            kinds,
        })
    }

    fn open(&self, folder: &Folder, name: &str, workers: u32) -> Result<(InTab, Option<String>)> {
        let key = self.keys.borrow_mut().next().context("no key is left")?;
        InTab::open(&self.tab, key, name, folder.name.text(), workers)
            .with_context(|| format!("{name} cannot be opened"))
    }

    /// Bytes of a fresh learner's memory after the first training steps, and after all.
    fn memory(&self, folder: &Folder, steps: u32) -> Result<(u64, u64)> {
        let (mut engine, _) = self.open(folder, "lpfl", 1)?;
        engine.probe(Kind::Infer, folder.work.batches.len())?;
        engine.run(Kind::Train, WARM_STEPS as usize)?;
        let first = engine.ask(json!({ "op": "memory" }))?;
        engine.run(Kind::Train, steps.saturating_sub(WARM_STEPS) as usize)?;
        Ok((first, engine.ask(json!({ "op": "memory" }))?))
    }

    /// The client module's size; nothing where it has not been built.
    fn client_size(&self) -> Result<Option<Size>> {
        let client: &Path = &self.arguments.client;
        let Ok(meta) = fs::metadata(client) else {
            return Ok(None);
        };
        // Node.js is here for the page's sake, and has both.
        let script = "const { gzipSync, brotliCompressSync } = require('node:zlib');
            const bytes = require('node:fs').readFileSync(process.argv[1]);
            console.log(gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length);";
        let output = Command::new("node")
            .args(["-e", script])
            .arg(client)
            .stdin(Stdio::null())
            .output()
            .context("node could not be started")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let mut numbers = said.split_whitespace().map(str::parse);
        let mut number = || numbers.next().context("node printed no size");
        Ok(Some(Size {
            bytes: meta.len(),
            gzip: number()??,
            brotli: number()??,
        }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// Needs a browser in CHROME and the modules in LPFL_BENCH_SCRATCH: `cargo xtask test`.
    #[test]
    #[ignore = "needs a browser and modules that xtask builds"]
    fn ours_is_clearly_faster_than_plain_candle() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/browser/page");
        let scratch = std::env::var("LPFL_BENCH_SCRATCH").unwrap();
        let words = ["", "--quick", "--page", page, "--scratch", &scratch];
        run(&Line::parse_from(words).arguments).unwrap();
    }
}
