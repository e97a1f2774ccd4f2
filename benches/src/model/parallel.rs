//! Seeds side by side on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::Result;

/// The results of `measure` for the seeds 0 to `seeds` − 1, in their order.
///
/// # Errors
/// The first seed's error.
pub fn each<T: Send>(seeds: u32, measure: impl Fn(u32) -> Result<T> + Sync) -> Result<Vec<T>> {
    let next = AtomicU32::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let result = measure(seed);
            if let Ok(mut found) = found.lock() {
                found.push((seed, result));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(seeds as usize) {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap_or_default();
    found.sort_by_key(|(seed, _)| *seed);
    found.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_seeds() {
        let squares = each(9, |seed| Ok(seed * seed)).unwrap();
        assert_eq!(squares, [0, 1, 4, 9, 16, 25, 36, 49, 64]);
    }

    #[test]
    fn first_error_is_reported() {
        let odd = |seed: u32| match seed % 2 {
            0 => Ok(seed),
            _ => Err(anyhow::anyhow!("seed {seed} is odd")),
        };
        assert_eq!(each(4, odd).unwrap_err().to_string(), "seed 1 is odd");
    }
}
