//! One file from the hub into a directory: resumed where an earlier download stopped, verified,
//! and under its own name only when it is whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use indicatif::ProgressBar;

use super::checksum::Digest;
use super::hub::{Hub, Promise, Trouble};

/// Bytes read at once.
const PIECE: usize = 64 << 10;
/// Failures without a byte in between after which a download is given up.
const FAILURES: u32 = 5;
/// Connections after which it is given up, however much came.
const CONNECTIONS: u32 = 100;
/// First pause before another try; it doubles with every failure.
const PAUSE: Duration = Duration::from_millis(250);

/// Where files go, and how patiently.
pub struct Transfer<'a> {
    /// Where they come from.
    pub hub: &'a Hub,
    /// Their directory, which exists.
    pub folder: &'a Path,
    /// How long a connection may stay silent.
    pub silence: Duration,
    /// Moves by the bytes that are here.
    pub bar: &'a ProgressBar,
}

impl Transfer<'_> {
    /// Gets a file whole, unless it is there already.
    ///
    /// # Errors
    /// When it does not come, is not what was promised, or cannot be written. A part of it stays
    /// for the next time under another name, unless it is wrong.
    pub fn get(&self, file: &str, promise: &Promise) -> Result<()> {
        let target = self.folder.join(file);
        if is_there(&target, promise) {
            self.bar.inc(promise.bytes);
            return Ok(());
        }
        let mut part = Part::open(self.folder, file, promise)?;
        self.bar.inc(part.length);
        let before = self.bar.position().saturating_sub(part.length);
        let (mut patience, mut had) = (Patience::default(), part.length);
        while part.length < promise.bytes {
            let attempt = self.attempt(file, promise, &mut part, before);
            if let Err(trouble) = attempt {
                patience.bear(trouble, part.length > had)?;
                had = part.length;
            }
        }
        part.finish(&target, promise)
    }

    /// Size and checksum of a file.
    ///
    /// # Errors
    /// When the hub does not tell them.
    pub fn promise(&self, file: &str) -> Result<Promise> {
        let mut patience = Patience::default();
        loop {
            match self.hub.promise(file) {
                Ok(promise) => return Ok(promise),
                Err(trouble) => patience.bear(trouble, false)?,
            }
        }
    }

    /// Takes what one connection gives.
    fn attempt(
        &self,
        file: &str,
        promise: &Promise,
        part: &mut Part,
        before: u64,
    ) -> Result<(), Trouble> {
        let (from, body) = self.hub.open(file, part.length, promise)?;
        if from != part.length {
            part.restart(promise)?;
        }
        self.bar.set_position(before + part.length);
        let pieces = pieces(body.into_reader());
        loop {
            let piece = match pieces.recv_timeout(self.silence) {
                Ok(Ok(piece)) => piece,
                Ok(Err(error)) => {
                    return Err(Trouble::Passing(anyhow!(
                        "{file}: the connection broke ({error})"
                    )));
                }
                Err(RecvTimeoutError::Timeout) => {
                    let seconds = self.silence.as_secs();
                    let error = anyhow!("{file}: nothing came for {seconds} seconds");
                    return Err(Trouble::Passing(error));
                }
                Err(RecvTimeoutError::Disconnected) if part.length == promise.bytes => {
                    return Ok(());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let (expected, got) = (promise.bytes, part.length);
                    let error = anyhow!("{file}: expected {expected} bytes, got {got}");
                    return Err(Trouble::Passing(error));
                }
            };
            if part.length + piece.len() as u64 > promise.bytes {
                part.discard();
                let expected = promise.bytes;
                let error = anyhow!("{file}: expected {expected} bytes, got more; thrown away");
                return Err(Trouble::Lasting(error));
            }
            part.append(&piece)?;
            self.bar.inc(piece.len() as u64);
        }
    }
}

/// How much trouble there was, and how much more is borne.
#[derive(Default)]
struct Patience {
    in_a_row: u32,
    in_all: u32,
}

impl Patience {
    /// Waits before another try; `came` tells whether the last one brought anything.
    fn bear(&mut self, trouble: Trouble, came: bool) -> Result<()> {
        let error = match trouble {
            Trouble::Lasting(error) => return Err(error),
            Trouble::Passing(error) => error,
        };
        self.in_all += 1;
        self.in_a_row = if came { 1 } else { self.in_a_row + 1 };
        if self.in_a_row >= FAILURES || self.in_all >= CONNECTIONS {
            let mend = "run the command again, and it goes on where it stopped";
            return Err(anyhow!("{error:#}; {mend}"));
        }
        thread::sleep(PAUSE * 2_u32.pow(self.in_a_row - 1));
        Ok(())
    }
}

/// Reads on a thread of its own, so that a silent connection can be told from a slow one. The
/// thread ends with the connection, or with the program.
fn pieces(mut reader: impl Read + Send + 'static) -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(4);
    thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let read = match reader.read(&mut piece) {
                Ok(0) => return,
                Ok(count) => {
                    piece.truncate(count);
                    Ok(piece)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if sender.send(read).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// Whether the file is there and is what was promised.
fn is_there(path: &Path, promise: &Promise) -> bool {
    let Ok(mut file) = File::open(path) else {
        return false;
    };
    if !file
        .metadata()
        .is_ok_and(|found| found.is_file() && found.len() == promise.bytes)
    {
        return false;
    }
    let mut digest = promise.checksum.begin(promise.bytes);
    let hashed = hash(&mut file, &mut digest);
    hashed.is_ok() && digest.value() == promise.checksum.value()
}

fn hash(file: &mut File, digest: &mut Digest) -> std::io::Result<u64> {
    let (mut piece, mut length) = (vec![0; PIECE], 0);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(length),
            count => {
                digest.update(&piece[..count]);
                length += count as u64;
            }
        }
    }
}

/// The part of a file that is here, locked against another download.
struct Part {
    path: PathBuf,
    file: File,
    digest: Digest,
    length: u64,
}

impl Part {
    /// The part that an earlier download of the same content left, or an empty one. Parts of
    /// other contents are removed.
    fn open(folder: &Path, name: &str, promise: &Promise) -> Result<Self> {
        let own = format!(".{name}.{}.part", &promise.checksum.value()[..16]);
        remove_others(folder, name, &own);
        let path = folder.join(own);
        let shown = path.display();
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options
            .open(&path)
            .with_context(|| format!("{shown} cannot be written; name another --out"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("{shown}: another download is writing it; wait for its end")
            }
            // Some network file systems have no locks.
            Err(TryLockError::Error(_)) => {}
        }
        let mut digest = promise.checksum.begin(promise.bytes);
        let length = hash(&mut file, &mut digest)
            .with_context(|| format!("{shown} cannot be read; delete it"))?;
        let mut part = Self {
            path,
            file,
            digest,
            length,
        };
        if length > promise.bytes {
            part.restart(promise)?;
        }
        Ok(part)
    }

    fn restart(&mut self, promise: &Promise) -> Result<()> {
        let emptied = self.file.set_len(0);
        emptied.and_then(|()| self.file.seek(SeekFrom::Start(0)).map(drop))?;
        self.digest = promise.checksum.begin(promise.bytes);
        self.length = 0;
        Ok(())
    }

    fn append(&mut self, piece: &[u8]) -> Result<()> {
        self.file
            .write_all(piece)
            .map_err(|error| self.unwritten(&error))?;
        self.digest.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    fn unwritten(&self, error: &std::io::Error) -> anyhow::Error {
        let shown = self.path.display();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                anyhow!(
                    "{shown}: no space is left for it ({error}); free some, or name another --out, \
                     and run the command again"
                )
            }
            _ => anyhow!("{shown} cannot be written ({error})"),
        }
    }

    fn discard(&self) {
        // What stays is found wrong by its checksum the next time.
        let _ = fs::remove_file(&self.path);
    }

    /// Gives the whole file its name, when it is what was promised.
    fn finish(self, target: &Path, promise: &Promise) -> Result<()> {
        let (expected, got) = (promise.checksum.value(), self.digest.clone().value());
        if expected != got {
            self.discard();
            let (shown, kind) = (target.display(), promise.checksum.kind());
            bail!(
                "{shown}: expected {kind} {expected}, got {got}; it was thrown away, run the \
                 command again"
            );
        }
        self.file
            .sync_all()
            .map_err(|error| self.unwritten(&error))?;
        let Self { path, file, .. } = self;
        // An open file keeps its name on some systems.
        drop(file);
        let shown = path.display();
        fs::rename(&path, target).with_context(|| format!("{shown} cannot be renamed"))
    }
}

fn remove_others(folder: &Path, name: &str, own: &str) {
    let prefix = format!(".{name}.");
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        if found.starts_with(&prefix) && found.ends_with(".part") && found != own {
            // It only takes space.
            let _ = fs::remove_file(entry.path());
        }
    }
}
