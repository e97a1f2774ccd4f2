//! The memory that updates under way may take, over the whole server.
//!
//! A connection waits for its share before more of a large frame is read from the network, so that
//! what waits stays with its sender. Waiting, not refusing: an update is the work of somebody's
//! whole round, and a moment later there is room for it. The share is that of the room's largest
//! update and given at once, so that no two half-read frames wait for each other; it goes with the
//! update until the room has taken it in.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one permit stands for.
const UNIT: usize = 1024;

/// What there is for all. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    permits: Arc<Semaphore>,
    total: u32,
}

/// A part of the budget; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share(OwnedSemaphorePermit);

impl Budget {
    /// A budget of so many MiB.
    pub(crate) fn new(mib: usize) -> Self {
        let total = u32::try_from(mib.saturating_mul(1024)).unwrap_or(u32::MAX);
        Self {
            permits: Arc::new(Semaphore::new(total as usize)),
            total,
        }
    }

    /// The semaphore itself, to be polled.
    pub(crate) fn permits(&self) -> Arc<Semaphore> {
        Arc::clone(&self.permits)
    }

    /// Bytes that are given out.
    pub(crate) fn in_use(&self) -> usize {
        (self.total as usize - self.permits.available_permits()) * UNIT
    }

    /// The permits for a frame of so many bytes and the values decoded from it. More than there
    /// are is all there are: a frame that is allowed has to get through.
    pub(crate) fn permits_for(&self, frame: usize) -> u32 {
        let units = frame.saturating_mul(2).div_ceil(UNIT);
        u32::try_from(units).map_or(self.total, |units| units.min(self.total))
    }

    /// Waits for the share of a frame of so many bytes.
    pub(crate) async fn share(&self, frame: usize) -> Option<Share> {
        let count = self.permits_for(frame);
        // Never closed.
        self.permits()
            .acquire_many_owned(count)
            .await
            .ok()
            .map(Share)
    }
}

impl Share {
    /// What a semaphore gave.
    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(permit)
    }

    /// Gives back what is above `permits`.
    pub(crate) fn shrink(&mut self, permits: u32) {
        let above = self.0.num_permits().saturating_sub(permits as usize);
        drop(self.0.split(above));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_come_back() {
        let budget = Budget::new(1);
        let mut share = budget.share(256 * 1024).await.unwrap();
        assert_eq!(budget.permits.available_permits(), 512);
        share.shrink(budget.permits_for(1));
        assert_eq!(budget.permits.available_permits(), 1023);
        drop(share);
        assert_eq!(budget.permits.available_permits(), 1024);
    }

    #[tokio::test]
    async fn frame_above_the_budget_takes_all_of_it() {
        let budget = Budget::new(1);
        let share = budget.share(64 << 20).await.unwrap();
        assert_eq!(budget.permits.available_permits(), 0);
        drop(share);
    }
}
