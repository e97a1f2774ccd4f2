//! One copy of the newest global adapter for all clients of the process.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use fl_core::room::Millis;
use fl_core::session::{Global, Session};
use rand_chacha::rand_core::Rng;

/// The last frame that was read, and what it held.
#[derive(Debug, Default)]
pub struct Known(Mutex<Option<(Bytes, Global)>>);

impl Known {
    /// Feeds a binary frame to a session: what another one has read already is compared byte by
    /// byte, and not decoded and hashed again.
    pub fn feed<R: Rng>(&self, session: &mut Session<R>, frame: Bytes, now: Millis) {
        let known = self.lock().clone();
        if let Some((bytes, global)) = known
            && bytes == frame
        {
            return session.binary_known(global, frame.len(), now);
        }
        let hash = |session: &Session<R>| session.global().map(|global| global.hash);
        let before = hash(session);
        session.binary(&frame, now);
        // A frame that could not be read has changed nothing.
        if let Some(global) = session.global()
            && Some(global.hash) != before
        {
            *self.lock() = Some((frame, global.clone()));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Bytes, Global)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
