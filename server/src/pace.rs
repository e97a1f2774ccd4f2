//! How much one connection may send.

use tokio::time::Instant;

/// A bucket of tokens: one message takes one, and each second brings `per_second` back.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

/// The bucket is empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMany;

impl Pace {
    /// A full bucket of one second's messages.
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second: per_second.into(),
            tokens: per_second.into(),
            filled: now,
        }
    }

    /// Takes a token.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), TooMany> {
        let passed = now.duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second);
        if self.tokens < 1.0 {
            return Err(TooMany);
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn burst_is_bounded_and_comes_back() {
        let start = Instant::now();
        let mut pace = Pace::new(3, start);
        for _ in 0..3 {
            pace.take(start).unwrap();
        }
        assert_eq!(pace.take(start), Err(TooMany));
        pace.take(start + Duration::from_millis(400)).unwrap();
        assert_eq!(pace.take(start + Duration::from_millis(400)), Err(TooMany));
    }
}
