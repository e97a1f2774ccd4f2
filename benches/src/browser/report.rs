//! Figures for people and for programs.

use serde_json::{Value, json};

use super::flops::Kind;
use super::measure::{Figure, label};
use super::peak::Peak;

/// A file's size, as it is and as it travels.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub bytes: u64,
    pub gzip: u64,
    pub brotli: u64,
}

/// All that was measured.
#[derive(Debug)]
pub struct Report {
    pub browser: &'static str,
    pub peak: Peak,
    pub figures: Vec<Figure>,
    /// Bytes of WebAssembly's memory after the runs, by work.
    pub memory: Vec<(&'static str, u64)>,
    /// Training steps, and how many bytes the memory grew over them.
    pub growth: Option<(u32, u64)>,
    /// The browser client's module.
    pub client: Option<Size>,
}

impl Report {
    /// Prints everything: one JSON object a line, or tables.
    pub fn print(&self, as_json: bool) {
        match as_json {
            true => self.objects().iter().for_each(|line| println!("{line}")),
            false => self.print_tables(),
        }
    }

    fn objects(&self) -> Vec<Value> {
        let browser = self.browser;
        let figures = self.figures.iter().map(|figure| {
            json!({
                "work": figure.work,
                "kind": figure.kind.text(),
                "engine": figure.engine,
                "workers": figure.workers,
                "seq_per_s": rounded(figure.sequences_per_second),
                "gflops": rounded(figure.gflops),
                "peak_share": rounded(self.share(figure)),
                "browser": browser,
            })
        });
        let mut objects: Vec<Value> = figures.collect();
        objects.push(json!({
            "peak_gflops": rounded(self.peak.plain),
            "relaxed_peak_gflops": self.peak.relaxed.map(rounded),
            "browser": browser,
        }));
        let memory = self.memory.iter();
        objects.extend(memory.map(
            |(work, bytes)| json!({ "work": work, "memory_bytes": bytes, "browser": browser }),
        ));
        objects.extend(self.growth.map(|(steps, bytes)| {
            json!({ "steps": steps, "memory_growth_bytes": bytes, "browser": browser })
        }));
        objects.extend(self.client.map(|size| {
            json!({
                "client_wasm_bytes": size.bytes, "gzip_bytes": size.gzip,
                "brotli_bytes": size.brotli,
            })
        }));
        objects
    }

    fn print_tables(&self) {
        let Peak { plain, relaxed } = self.peak;
        let (chosen, relaxed) = match relaxed {
            Some(relaxed) => ("relaxed", format!("{relaxed:.1}")),
            None => ("plain", "none".into()),
        };
        println!(
            "SIMD peak of one core in {}: plain {plain:.1} GFLOP/s, relaxed {relaxed}; shares are \
             of the {chosen} one",
            self.browser
        );
        for (work, kind) in self.groups() {
            println!("\n{work} {}", kind.text());
            println!(
                "{:<22} {:>12} {:>9} {:>7} {:>11}",
                "engine", "sequences/s", "GFLOP/s", "peak", "lpfl is"
            );
            let group = |figure: &&Figure| (figure.work, figure.kind) == (work, kind);
            let ours = |workers: u32| {
                let is_ours = |figure: &&Figure| {
                    (figure.engine, figure.workers) == ("lpfl", workers) && group(figure)
                };
                let found = self.figures.iter().find(is_ours);
                found.map(|figure| figure.sequences_per_second)
            };
            for figure in self.figures.iter().filter(group) {
                // Ours with as many workers.
                let ratio = ours(figure.workers).map(|ours| ours / figure.sequences_per_second);
                println!(
                    "{:<22} {:>12.1} {:>9.1} {:>6.0}% {:>11}",
                    label(figure.engine, figure.workers),
                    figure.sequences_per_second,
                    figure.gflops,
                    100.0 * self.share(figure),
                    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2} ×")),
                );
            }
        }
        println!();
        for (work, bytes) in &self.memory {
            println!(
                "WebAssembly memory after {work}: {:.1} MiB",
                mebibytes(*bytes)
            );
        }
        if let Some((steps, bytes)) = self.growth {
            println!("growth over {steps} training steps: {bytes} bytes");
        }
        if let Some(size) = self.client {
            let kilobytes = |bytes: u64| bytes as f64 / 1e3;
            println!(
                "client WebAssembly: {:.0} kB after wasm-opt, gzip {:.0} kB, brotli {:.0} kB",
                kilobytes(size.bytes),
                kilobytes(size.gzip),
                kilobytes(size.brotli)
            );
        }
    }

    /// The pairs that were measured, each once, in their order.
    fn groups(&self) -> Vec<(&'static str, Kind)> {
        let mut groups = Vec::new();
        for figure in &self.figures {
            if !groups.contains(&(figure.work, figure.kind)) {
                groups.push((figure.work, figure.kind));
            }
        }
        groups
    }

    fn share(&self, figure: &Figure) -> f64 {
        figure.gflops / self.peak.best()
    }
}

/// To four significant digits or so: more is noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
