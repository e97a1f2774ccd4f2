//! Replays on stable: every seed, seeds with bytes changed and cut off, and what fuzzers have found.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fs;
use std::path::Path;

use fuzz::{TARGETS, seeds};

#[test]
fn seeds_keep_every_promise() {
    for (name, target) in TARGETS {
        let seeds = seeds::of(name);
        assert!(!seeds.is_empty(), "{name}");
        seeds.iter().for_each(|seed| target(seed));
    }
}

#[test]
fn damaged_seeds_keep_every_promise() {
    /// Values that mean something to parsers.
    const VALUES: [u8; 12] = *b"\0\xff\"{}[],:0\n\r";
    for (name, target) in TARGETS {
        for seed in seeds::of(name) {
            // As many of each seed, however long it is.
            let step = seed.len().div_ceil(150);
            for place in (0..seed.len()).step_by(step) {
                target(&seed[..place]);
                let mut damaged = seed.clone();
                damaged[place] = VALUES[place / step % VALUES.len()];
                target(&damaged);
                damaged[place] = seed[place] ^ 1 << (place % 8);
                target(&damaged);
            }
        }
    }
}

#[test]
fn findings_do_not_come_back() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for (name, target) in TARGETS {
        let Ok(files) = fs::read_dir(folder.join(name)) else {
            continue;
        };
        for file in files {
            let path = file.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
        }
    }
}
