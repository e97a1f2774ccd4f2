//! Whether the server's memory grows: from restart to restart, and within its last life.

use std::collections::BTreeMap;
use std::fmt;

use super::plan::Plan;

/// Growth that is no growth: allocators keep what they had, and a history has as many records as rounds.
pub const ALLOWED: u64 = 8 << 20;

/// Resident bytes, as they were seen.
#[derive(Default)]
pub struct Memory {
    /// Of each server soon after its start: everyone is back, and a round is over.
    young: Vec<u64>,
    /// Of the last server, by rounds completed.
    grown: BTreeMap<u32, Vec<u64>>,
}

/// What came of it.
pub struct Growth {
    young: (u64, u64),
    grown: (u64, u64),
}

impl Memory {
    /// A server has just completed its first round or two.
    pub fn young(&mut self, resident: u64) {
        self.young.push(resident);
    }

    /// The last server, at this many rounds.
    pub fn grown(&mut self, completed: u32, resident: u64) {
        self.grown.entry(completed).or_default().push(resident);
    }

    /// Early and late medians; late ones may be larger by the plan's share and [`ALLOWED`].
    pub fn check(&self, plan: &Plan) -> Growth {
        assert!(
            self.grown.len() > 2,
            "the last kill came too late to see growth"
        );
        let third = self.young.len().div_ceil(3);
        let young = (
            median(self.young.iter().take(third)),
            median(self.young.iter().rev().take(third)),
        );
        // The first of its rounds see its caches and buffers fill; of a short run little is left then.
        let rounds: Vec<&Vec<u64>> = self.grown.values().collect();
        let part = rounds.len() / 4;
        let grown = (
            median(rounds.iter().skip(part).take(part + 1).copied().flatten()),
            median(rounds.iter().rev().take(part + 1).copied().flatten()),
        );
        for (what, (early, late)) in [("young servers", young), ("the last server", grown)] {
            let most = early as f64 * (1.0 + plan.growth) + ALLOWED as f64;
            assert!(
                late as f64 <= most,
                "{what} grew from {:.1} to {:.1} MiB",
                mebibytes(early),
                mebibytes(late)
            );
        }
        Growth { young, grown }
    }
}

fn median<'a>(values: impl Iterator<Item = &'a u64>) -> u64 {
    let mut values: Vec<u64> = values.copied().collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { young, grown } = self;
        write!(
            f,
            "memory of the server soon after a start: {:.1} MiB in the first restarts, {:.1} in the last; \
             of its last life: {:.1} MiB early, {:.1} late",
            mebibytes(young.0),
            mebibytes(young.1),
            mebibytes(grown.0),
            mebibytes(grown.1)
        )
    }
}
