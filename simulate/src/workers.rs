//! Work on all cores, one thread a piece of work, with results in the order of the work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use crate::error::{Result, SimulateError};

/// As many pieces of work at once as there are threads, whoever asks for them.
///
/// A piece of work never splits itself over threads, so its result does not depend on their
/// number. Several runs may share the workers; a piece of work must not ask for more of it.
#[derive(Debug)]
pub struct Workers {
    threads: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

impl Workers {
    /// So many threads; 0 for as many as the machine has cores.
    ///
    /// From then on no matrix product of this process splits itself over threads.
    pub fn new(threads: usize) -> Self {
        let threads = match threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        // Splitting the small products of a client costs more than a thread's share of them.
        gemm::set_threading_threshold(usize::MAX);
        Self {
            threads,
            free: Mutex::new(threads),
            freed: Condvar::new(),
        }
    }

    /// Pieces of work at once.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Does the work of every item; results are in the items' order.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub(crate) fn each<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> R + Sync,
    ) -> Result<Vec<R>> {
        let next = AtomicUsize::new(0);
        let found = Mutex::new(Vec::with_capacity(items.len()));
        let turns = || {
            while let Some((index, item)) = take(&next, items) {
                self.acquire();
                let result = work(item);
                self.release();
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.push((index, result));
            }
            Ok::<_, SimulateError>(())
        };
        thread::scope(|scope| {
            let threads = self.threads.min(items.len());
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(turns)).collect();
            for handle in handles {
                match handle.join() {
                    Ok(done) => done?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok::<_, SimulateError>(())
        })?;
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_by_key(|(index, _)| *index);
        Ok(found.into_iter().map(|(_, result)| result).collect())
    }

    /// Does one piece of work, on one thread as every other.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub(crate) fn one<R: Send>(&self, work: impl Fn() -> R + Sync) -> Result<R> {
        let mut results = self.each(&[()], |()| work())?;
        let missing = || SimulateError::Wire("a piece of work has no result".into());
        results.pop().ok_or_else(missing)
    }

    fn acquire(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
    }

    fn release(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }
}

fn take<'i, T>(next: &AtomicUsize, items: &'i [T]) -> Option<(usize, &'i T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, items.get(index)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        let items: Vec<u64> = (0..40).collect();
        for threads in [1, 3] {
            let workers = Workers::new(threads);
            let squares = workers.each(&items, |item| item * item).unwrap();
            assert!(
                squares
                    .iter()
                    .zip(&items)
                    .all(|(square, item)| *square == item * item)
            );
        }
        assert!(Workers::new(2).each(&[0_u8; 0], |_| ()).unwrap().is_empty());
    }

    #[test]
    fn no_more_is_done_at_once_than_there_are_threads() {
        let workers = Workers::new(2);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |_: &u8| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(std::time::Duration::from_millis(2));
            now.fetch_sub(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| workers.each(&[0_u8; 6], work).unwrap());
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 2);
    }
}
