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

/// Prints each figure as soon as it is known: one JSON object a line, or tables.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub browser: &'static str,
    pub as_json: bool,
}

impl Report {
    /// Prints the engines' figures at a work; shares are of `peak`.
    pub fn figures(&self, figures: &[Figure], peak: Peak) {
        if !self.as_json {
            let kinds = [Kind::Infer, Kind::Train];
            return kinds.iter().for_each(|kind| table(figures, *kind, peak));
        }
        for figure in figures {
            self.object(json!({
                "work": figure.work,
                "kind": figure.kind.text(),
                "engine": figure.engine,
                "workers": figure.workers,
                "seq_per_s": rounded(figure.sequences_per_second),
                "gflops": rounded(figure.gflops),
                "peak_share": rounded(figure.gflops / peak.best()),
            }));
        }
    }

    /// Prints the peaks.
    pub fn peak(&self, peak: Peak) {
        let Peak {
            plain,
            relaxed,
            int8,
        } = peak;
        if self.as_json {
            return self.object(json!({
                "peak_gflops": rounded(plain),
                "relaxed_peak_gflops": relaxed.map(rounded),
                "int8_peak_gops": int8.map(rounded),
            }));
        }
        let (chosen, relaxed) = match relaxed {
            Some(relaxed) => ("relaxed", format!("{relaxed:.1}")),
            None => ("plain", "none".into()),
        };
        println!(
            "SIMD peak of one core in {}: plain {plain:.1} GFLOP/s, relaxed {relaxed}; shares are \
             of the {chosen} one",
            self.browser
        );
        if let Some(int8) = int8 {
            println!(
                "products of bytes: {int8:.1} GOP/s, {:.2} times the peak in f32",
                int8 / peak.best()
            );
        }
    }

    /// Prints the bytes of WebAssembly's memory after a work.
    pub fn memory(&self, work: &str, bytes: u64) {
        match self.as_json {
            true => self.object(json!({ "work": work, "memory_bytes": bytes })),
            false => {
                let mebibytes = bytes as f64 / f64::from(1 << 20);
                println!("\nWebAssembly memory after {work}: {mebibytes:.1} MiB");
            }
        }
    }

    /// Prints by how many bytes the memory grew over these training steps.
    pub fn growth(&self, work: &str, steps: u32, bytes: u64) {
        match self.as_json {
            true => self.object(json!({
                "work": work, "steps": steps, "memory_growth_bytes": bytes,
            })),
            false => println!("growth over {steps} training steps: {bytes} bytes"),
        }
    }

    /// Prints the size of the browser client's module.
    pub fn client(&self, size: Size) {
        if self.as_json {
            return self.object(json!({
                "client_wasm_bytes": size.bytes, "gzip_bytes": size.gzip,
                "brotli_bytes": size.brotli,
            }));
        }
        let kilobytes = |bytes: u64| bytes as f64 / 1e3;
        println!(
            "client WebAssembly: {:.0} kB after wasm-opt, gzip {:.0} kB, brotli {:.0} kB",
            kilobytes(size.bytes),
            kilobytes(size.gzip),
            kilobytes(size.brotli)
        );
    }

    fn object(&self, mut object: Value) {
        object["browser"] = json!(self.browser);
        println!("{object}");
    }
}

fn table(figures: &[Figure], kind: Kind, peak: Peak) {
    let figures = || figures.iter().filter(|figure| figure.kind == kind);
    let Some(first) = figures().next() else {
        return;
    };
    println!("\n{} {}", first.work, kind.text());
    println!(
        "{:<22} {:>12} {:>9} {:>7} {:>11}",
        "engine", "sequences/s", "GFLOP/s", "peak", "lpfl is"
    );
    for figure in figures() {
        // Ours with as many workers.
        let ours = figures()
            .find(|ours| (ours.engine, ours.workers) == ("lpfl", figure.workers))
            .map(|ours| ours.sequences_per_second / figure.sequences_per_second);
        println!(
            "{:<22} {:>12.1} {:>9.1} {:>6.0}% {:>11}",
            label(figure.engine, figure.workers),
            figure.sequences_per_second,
            figure.gflops,
            100.0 * figure.gflops / peak.best(),
            ours.map_or_else(String::new, |ratio| format!("{ratio:.2} ×")),
        );
    }
}

/// To thousandths: more is noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
