//! What a client downloads: how far it is, whether it is what the server promised.

use fl_core::protocol::FileInfo;
use fl_core::room::Millis;
use sha2::{Digest, Sha256};

/// Tries of a download before it is given up.
const TRIES: u32 = 10;
/// First pause before a new try; it doubles with every failure.
const RETRY_FIRST_MS: Millis = 500;
/// Longest pause before a new try.
const RETRY_LONGEST_MS: Millis = 15_000;
/// Steps of a progress bar.
const PROGRESS_STEPS: u64 = 200;

/// Why a download did not come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DownloadError {
    /// The connection failed.
    #[error("{what} could not be reached ({reason})")]
    Network {
        /// The file.
        what: String,
        /// What the browser or operating system says.
        reason: String,
    },
    /// The server answered with something else than the file.
    #[error("{what}: expected the file, got status {status}")]
    Status {
        /// The file.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// Another number of bytes than the server promised.
    #[error("{what}: expected {expected} bytes, got {got}")]
    Size {
        /// The file.
        what: String,
        /// Bytes promised, or the most taken.
        expected: u64,
        /// Bytes that came, at least.
        got: u64,
    },
    /// Another content than the server promised.
    #[error("{what}: expected SHA-256 {expected}, got {got}")]
    Hash {
        /// The file.
        what: String,
        /// The promised hash.
        expected: String,
        /// The content's.
        got: String,
    },
    /// The server's list lacks a file that a model needs.
    #[error("the model's files: expected {what} among them, got {got:?}")]
    Unlisted {
        /// The file.
        what: &'static str,
        /// The files that are listed.
        got: Vec<String>,
    },
    /// The server lists more files of weights than a model has.
    #[error("the model's files: expected at most {limit} files of weights, got {got}")]
    Many {
        /// Most files.
        limit: usize,
        /// Files that are listed.
        got: usize,
    },
    /// There is no memory for a file of this size.
    #[error("{what}: no memory for {bytes} bytes")]
    Memory {
        /// The file.
        what: String,
        /// Its size.
        bytes: u64,
    },
}

impl DownloadError {
    /// Whether the server lacks the file.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Status { status, .. } if (400..500).contains(status))
            || matches!(self, Self::Unlisted { .. })
    }

    /// Milliseconds to wait before the next try after `failures` failed ones; none when another
    /// try is of no use.
    pub fn retry(&self, failures: u32) -> Option<Millis> {
        let transient = match self {
            Self::Network { .. } | Self::Size { .. } | Self::Hash { .. } => true,
            Self::Status { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            Self::Unlisted { .. } | Self::Many { .. } | Self::Memory { .. } => false,
        };
        let pause = RETRY_FIRST_MS << failures.saturating_sub(1).min(10);
        (transient && failures < TRIES).then_some(pause.min(RETRY_LONGEST_MS))
    }
}

/// What the server promised about a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Size and SHA-256.
    Exactly(FileInfo),
    /// Nothing but the name; this many bytes are taken at most.
    AtMost(String, u64),
}

/// A download as it comes in, checked against its promise.
#[derive(Debug)]
pub struct Incoming {
    promise: Promise,
    bytes: Vec<u8>,
    digest: Sha256,
}

impl Incoming {
    /// Nothing yet.
    ///
    /// # Errors
    /// [`DownloadError::Memory`] when there is no room for the promised size.
    pub fn new(promise: Promise) -> Result<Self, DownloadError> {
        let mut bytes = Vec::new();
        if let Promise::Exactly(file) = &promise {
            let memory = || DownloadError::Memory {
                what: file.name.clone(),
                bytes: file.bytes,
            };
            let size = usize::try_from(file.bytes).map_err(|_| memory())?;
            bytes.try_reserve_exact(size).map_err(|_| memory())?;
        }
        Ok(Self {
            promise,
            bytes,
            digest: Sha256::new(),
        })
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`DownloadError::Size`] as soon as it is more than promised.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), DownloadError> {
        let got = self.bytes.len() as u64 + piece.len() as u64;
        let (what, limit) = match &self.promise {
            Promise::Exactly(file) => (&file.name, file.bytes),
            Promise::AtMost(name, limit) => (name, *limit),
        };
        if got > limit {
            return Err(DownloadError::Size {
                what: what.clone(),
                expected: limit,
                got,
            });
        }
        self.bytes.extend_from_slice(piece);
        if let Promise::Exactly(_) = self.promise {
            self.digest.update(piece);
        }
        Ok(())
    }

    /// Bytes so far.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The whole content, when it is what was promised.
    ///
    /// # Errors
    /// [`DownloadError::Size`] or [`DownloadError::Hash`].
    pub fn finish(self) -> Result<Vec<u8>, DownloadError> {
        let Promise::Exactly(file) = self.promise else {
            return Ok(self.bytes);
        };
        let got = self.bytes.len() as u64;
        if got != file.bytes {
            return Err(DownloadError::Size {
                what: file.name,
                expected: file.bytes,
                got,
            });
        }
        let hash = self.digest.finalize();
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        if !hash.eq_ignore_ascii_case(&file.sha256) {
            return Err(DownloadError::Hash {
                what: file.name,
                expected: file.sha256,
                got: hash,
            });
        }
        Ok(self.bytes)
    }
}

/// One progress bar over all downloads.
#[derive(Debug, Default)]
pub struct Ledger {
    finished: u64,
    current: u64,
    total: u64,
    shown: Option<(u64, u64)>,
}

impl Ledger {
    /// Nothing of `total` bytes is here yet.
    pub fn new(total: u64) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }

    /// The current download has this many bytes; a new try starts from 0 again.
    pub fn at(&mut self, current: u64) {
        self.current = current;
        self.total = self.total.max(self.finished + current);
    }

    /// The current download is complete; `promised` bytes of it were part of the total already.
    pub fn complete(&mut self, bytes: u64, promised: u64) {
        self.current = 0;
        self.finished += bytes;
        self.total = (self.total + bytes.saturating_sub(promised)).max(self.finished);
    }

    /// Bytes here and in all, when that is worth showing again.
    pub fn news(&mut self) -> Option<(u64, u64)> {
        let now = (self.finished + self.current, self.total);
        let coarse = |(loaded, total): (u64, u64)| {
            let step = (total / PROGRESS_STEPS).max(1);
            (loaded / step, loaded == total, total)
        };
        if self.shown.is_some_and(|shown| coarse(shown) == coarse(now)) {
            return None;
        }
        self.shown = Some(now);
        Some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> FileInfo {
        let hash = Sha256::digest(content);
        FileInfo {
            name: name.into(),
            bytes: content.len() as u64,
            sha256: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    fn receive(file: &FileInfo, pieces: &[&[u8]]) -> Result<Vec<u8>, DownloadError> {
        let mut incoming = Incoming::new(Promise::Exactly(file.clone()))?;
        for piece in pieces {
            incoming.push(piece)?;
        }
        incoming.finish()
    }

    #[test]
    fn content_must_be_what_was_promised() {
        let promised = file("a", b"hello");
        assert_eq!(receive(&promised, &[b"hel", b"lo"]).unwrap(), b"hello");
        let size = |error| matches!(error, DownloadError::Size { .. });
        assert!(size(receive(&promised, &[b"hell"]).unwrap_err()));
        assert!(size(receive(&promised, &[b"hello", b"!"]).unwrap_err()));
        let hash = receive(&promised, &[b"hallo"]).unwrap_err();
        assert!(matches!(hash, DownloadError::Hash { .. }), "{hash}");
    }

    #[test]
    fn a_content_without_a_promise_is_bounded() {
        let mut incoming = Incoming::new(Promise::AtMost("t".into(), 3)).unwrap();
        incoming.push(b"abc").unwrap();
        assert!(incoming.push(b"d").is_err());
        assert_eq!(incoming.finish().unwrap(), b"abc");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let status = |status| DownloadError::Status {
            what: "a".into(),
            status,
        };
        assert_eq!(status(404).retry(1), None);
        assert_eq!(status(503).retry(1), Some(500));
        assert_eq!(status(503).retry(2), Some(1000));
        assert_eq!(status(429).retry(9), Some(15_000));
        assert_eq!(status(503).retry(TRIES), None);
        let network = DownloadError::Network {
            what: "a".into(),
            reason: "off".into(),
        };
        assert!(network.retry(1).is_some());
    }

    #[test]
    fn progress_is_told_when_it_moves() {
        let mut ledger = Ledger::new(1000);
        assert_eq!(ledger.news(), Some((0, 1000)));
        ledger.at(1);
        assert_eq!(ledger.news(), None);
        ledger.at(50);
        assert_eq!(ledger.news(), Some((50, 1000)));
        ledger.complete(50, 0);
        assert_eq!(ledger.news(), Some((50, 1050)));
        ledger.at(1000);
        assert_eq!(ledger.news(), Some((1050, 1050)));
        ledger.complete(1000, 1000);
        assert_eq!(ledger.news(), None);
    }
}
