//! Waiting for conditions.

use std::time::{Duration, Instant};

/// How long a condition may take to come true; far above what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(180);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks again and again until there is something; `Err` says what was seen instead.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(
                start.elapsed() < PATIENCE,
                "waited {} s in vain for: {what}; last seen: {seen}",
                PATIENCE.as_secs()
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
