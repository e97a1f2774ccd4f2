//! How often something may happen.

use tokio::time::Instant;

/// A bucket of tokens: each event takes one, and time brings them back.
#[derive(Debug)]
pub(crate) struct Pace {
    capacity: f64,
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

/// The bucket is empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Pace {
    /// A full bucket of one second's events.
    pub(crate) fn per_second(count: u32, now: Instant) -> Self {
        Self::new(count, 1.0, now)
    }

    /// A full bucket of one minute's events.
    pub(crate) fn per_minute(count: u32, now: Instant) -> Self {
        Self::new(count, 60.0, now)
    }

    fn new(count: u32, seconds: f64, now: Instant) -> Self {
        Self {
            capacity: count.into(),
            per_second: f64::from(count) / seconds,
            tokens: count.into(),
            filled: now,
        }
    }

    /// Takes a token.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), TooMany> {
        self.check(now)?;
        self.tokens -= 1.0;
        Ok(())
    }

    /// Whether there is a token.
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), TooMany> {
        self.fill(now);
        if self.tokens < 1.0 {
            return Err(TooMany);
        }
        Ok(())
    }

    /// Whether nothing happened lately.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.capacity
    }

    /// Whole seconds until there is a token again, at least 1.
    pub(crate) fn seconds_to_wait(&self) -> u64 {
        let missing = (1.0 - self.tokens).max(0.0);
        // A float beyond the type's range becomes its largest value.
        ((missing / self.per_second).ceil() as u64).max(1)
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * self.per_second).min(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn burst_is_bounded_and_comes_back() {
        let start = Instant::now();
        let mut pace = Pace::per_second(3, start);
        for _ in 0..3 {
            pace.take(start).unwrap();
        }
        assert_eq!(pace.take(start), Err(TooMany));
        pace.take(start + Duration::from_millis(400)).unwrap();
        assert_eq!(pace.take(start + Duration::from_millis(400)), Err(TooMany));
    }

    #[test]
    fn a_minutes_tokens_come_back_over_the_minute() {
        let start = Instant::now();
        let mut pace = Pace::per_minute(2, start);
        assert!(pace.is_full(start));
        pace.take(start).unwrap();
        pace.take(start).unwrap();
        assert_eq!(pace.check(start), Err(TooMany));
        assert_eq!(pace.seconds_to_wait(), 30);
        let half = start + Duration::from_secs(30);
        pace.check(half).unwrap();
        assert!(!pace.is_full(half));
        assert!(pace.is_full(start + Duration::from_secs(60)));
    }
}
