//! Adapters on disk: one PEFT directory a round, there completely or not at all.
//!
//! A directory is written under a temporary name, renamed, and flushed with all that is in it before
//! anybody speaks of its round. So a killed server leaves the whole directory or none of that name; a
//! power cut may leave a torn one, but only of a round that no record names, which is written anew.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::aggregate::OptimizerState;
use fl_core::codec;
use learner::peft;

use crate::error::ServerError;

const UNFINISHED: &str = ".unfinished-";
const ROUND: &str = "round-";
/// What the server's optimizer kept, beside the adapter; where none is used there is no such file.
const OPTIMIZER: &str = "server_optimizer.safetensors";

/// The adapters of one room.
#[derive(Clone, Debug)]
pub(crate) struct Adapters {
    folder: PathBuf,
}

impl Adapters {
    /// Those in a room's folder, which need not exist.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a round's adapter durably, beside PEFT's configuration of it.
    pub(crate) fn write(
        &self,
        round: u32,
        config: &[u8],
        adapter: &Adapter,
        optimizer: &OptimizerState,
    ) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let unfinished = self.folder.join(format!("{UNFINISHED}{round:05}"));
        let written = self.write_under(&unfinished, round, config, adapter, optimizer);
        if written.is_err() {
            // The cause is what counts; what is left behind goes at the next start, or when the
            // round is written again.
            let _ = fs::remove_dir_all(&unfinished);
            let _ = fs::remove_dir_all(self.round_folder(round));
        }
        written
    }

    fn write_under(
        &self,
        unfinished: &Path,
        round: u32,
        config: &[u8],
        adapter: &Adapter,
        optimizer: &OptimizerState,
    ) -> io::Result<()> {
        let mut files = vec![
            (peft::CONFIG, config.to_vec()),
            (peft::WEIGHTS, peft::weights(adapter)),
        ];
        if *optimizer != OptimizerState::default() {
            files.push((OPTIMIZER, optimizer.encode()));
        }
        remove(unfinished)?;
        fs::create_dir(unfinished)?;
        for (name, bytes) in &files {
            fs::write(unfinished.join(name), bytes)?;
        }
        let finished = self.round_folder(round);
        // A round that was written but never became part of the history.
        remove(&finished)?;
        fs::rename(unfinished, &finished)?;
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| finished.join(name)).collect();
        flush(&paths, &[&finished, &self.folder])
    }

    /// Reads a round's adapter and the state of the server's optimizer. `Ok(Err(_))` says why they
    /// are not whole.
    ///
    /// # Errors
    /// [`ServerError::Unreadable`] when a file is there and the system does not give it out.
    pub(crate) fn read(
        &self,
        round: u32,
        expected: Option<AdapterHash>,
    ) -> Result<Result<(Adapter, OptimizerState), String>, ServerError> {
        let path = self.round_folder(round).join(peft::WEIGHTS);
        let Some(bytes) = read_if_there(&path)? else {
            return Ok(Err(format!("{} is missing", path.display())));
        };
        let adapter = match codec::decode_adapter(&bytes) {
            Ok(adapter) => adapter,
            Err(error) => return Ok(Err(format!("{}: {error}", path.display()))),
        };
        let got = adapter.hash();
        if let Some(expected) = expected.filter(|expected| *expected != got) {
            let path = path.display();
            return Ok(Err(format!("{path}: expected hash {expected}, got {got}")));
        }
        if let Err(error) = adapter.layout().check(&adapter) {
            return Ok(Err(format!("{}: {error}", path.display())));
        }
        let path = self.round_folder(round).join(OPTIMIZER);
        let optimizer = match read_if_there(&path)? {
            Some(bytes) => OptimizerState::decode(&bytes),
            None => Ok(OptimizerState::default()),
        };
        Ok(match optimizer {
            Ok(optimizer) => Ok((adapter, optimizer)),
            Err(error) => Err(format!("{}: {error}", path.display())),
        })
    }

    /// Rounds that have a directory.
    pub(crate) fn rounds(&self) -> io::Result<BTreeSet<u32>> {
        let mut rounds = BTreeSet::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(ROUND));
            rounds.extend(number.and_then(|number| number.parse::<u32>().ok()));
        }
        Ok(rounds)
    }

    /// Removes the directories of all rounds but these and those after them, one of which may be
    /// being written.
    pub(crate) fn keep_only(&self, kept: &BTreeSet<u32>) -> io::Result<()> {
        let rounds = self.rounds()?;
        let old = rounds.difference(kept);
        for round in old.filter(|round| Some(*round) < kept.last()) {
            remove(&self.round_folder(*round))?;
        }
        Ok(())
    }

    /// Removes what a server that was killed while writing left behind.
    pub(crate) fn clean(&self) -> io::Result<()> {
        if !self.folder.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn round_folder(&self, round: u32) -> PathBuf {
        self.folder.join(format!("{ROUND}{round:05}"))
    }
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, ServerError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ServerError::unreadable(path, &error)),
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes files and the names in folders durable: side by side, because a file system then does with
/// few writes of its journal what would otherwise take one for each.
fn flush(files: &[PathBuf], folders: &[&Path]) -> io::Result<()> {
    thread::scope(|scope| {
        let files = files.iter().map(|file| {
            // Windows flushes only what may be written.
            let flush = move || File::options().write(true).open(file)?.sync_all();
            thread::Builder::new().spawn_scoped(scope, flush)
        });
        let files: Vec<_> = files.collect::<io::Result<_>>()?;
        let folders = folders.iter().map(|folder| flush_folder(folder));
        let folders: Vec<io::Result<()>> = folders.collect();
        let files = files.into_iter().map(|file| {
            file.join()
                .unwrap_or_else(|_| Err(io::Error::other("a flush failed")))
        });
        files.chain(folders).collect()
    })
}

/// Makes the names in a folder durable.
#[cfg(unix)]
fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Windows has no handle on folders that could be flushed; NTFS keeps names in a journal.
#[cfg(not(unix))]
fn flush_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use fl_core::adapter::Matrix;

    use super::*;

    fn adapter(value: f32) -> Adapter {
        let mut matrix = Matrix::zeros(2, 3);
        matrix.values.fill(value);
        Adapter {
            matrices: [("a.lora_A.weight".to_owned(), matrix)].into(),
        }
    }

    fn adapters() -> (tempfile::TempDir, Adapters) {
        let folder = tempfile::tempdir().unwrap();
        let adapters = Adapters::new(folder.path().join("ROOM"));
        (folder, adapters)
    }

    fn write(adapters: &Adapters, round: u32, value: f32, optimizer: &OptimizerState) {
        let written = adapters.write(round, b"{}", &adapter(value), optimizer);
        written.unwrap();
    }

    fn write_plain(adapters: &Adapters, round: u32, value: f32) {
        write(adapters, round, value, &OptimizerState::default());
    }

    #[test]
    fn written_adapter_is_read_back() {
        let (_folder, adapters) = adapters();
        let optimizer = OptimizerState {
            momentum: adapter(0.5),
            variance: adapter(0.25),
        };
        write_plain(&adapters, 1, 1.0);
        write(&adapters, 1, 2.0, &optimizer);
        let read = adapters.read(1, Some(adapter(2.0).hash())).unwrap();
        assert_eq!(read.unwrap(), (adapter(2.0), optimizer));
        write_plain(&adapters, 1, 2.0);
        let read = adapters.read(1, None).unwrap().unwrap();
        assert_eq!(read, (adapter(2.0), OptimizerState::default()));
        fs::write(adapters.round_folder(1).join(OPTIMIZER), b"short").unwrap();
        assert!(
            adapters
                .read(1, None)
                .unwrap()
                .unwrap_err()
                .contains(OPTIMIZER)
        );
    }

    #[test]
    fn damage_is_told_from_absence() {
        let (_folder, adapters) = adapters();
        write_plain(&adapters, 1, 1.0);
        let says = |round, hash| adapters.read(round, hash).unwrap().unwrap_err();
        assert!(says(2, None).contains("is missing"));
        assert!(says(1, Some(adapter(2.0).hash())).contains("expected hash"));
        let weights = adapters.round_folder(1).join(peft::WEIGHTS);
        let bytes = fs::read(&weights).unwrap();
        fs::write(&weights, &bytes[..bytes.len() - 1]).unwrap();
        assert!(says(1, None).contains(peft::WEIGHTS));
    }

    #[test]
    fn half_written_round_is_no_round() {
        let (_folder, adapters) = adapters();
        write_plain(&adapters, 1, 1.0);
        let half = adapters.folder.join(format!("{UNFINISHED}00002"));
        fs::create_dir(&half).unwrap();
        fs::write(half.join(peft::WEIGHTS), b"half").unwrap();
        assert_eq!(adapters.rounds().unwrap(), [1].into());
        adapters.clean().unwrap();
        assert!(!half.exists());
        assert!(adapters.read(1, None).unwrap().is_ok());
    }

    #[test]
    fn only_the_rounds_to_keep_stay() {
        let (_folder, adapters) = adapters();
        for round in 0..5 {
            write_plain(&adapters, round, 1.0);
        }
        adapters.keep_only(&[1, 3].into()).unwrap();
        assert_eq!(adapters.rounds().unwrap(), [1, 3, 4].into());
        adapters.keep_only(&[1, 9].into()).unwrap();
        assert_eq!(adapters.rounds().unwrap(), [1].into());
    }
}
