//! What an interrupted run goes on from: its state after a round, in one file, written whole.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use fl_core::adapter::Adapter;
use fl_core::codec::{decode_adapter, encode_adapter};
use fl_core::soft_labels::SoftSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::error::{Result, SimulateError};
use crate::federation::Saved;
use crate::figures::RoundFigures;

/// First bytes of the file; another version is not read.
const MAGIC: &[u8] = b"lpfl run 2\n";

/// A run after a round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Checkpoint {
    /// Its federations.
    pub(crate) federations: Vec<Saved>,
    /// What was added to the frozen weights so far, then the federations' adapters.
    pub(crate) adapters: Vec<Adapter>,
    /// The clients' soft labels.
    pub(crate) soft: Vec<SoftSet>,
    /// The figures so far.
    pub(crate) rounds: Vec<RoundFigures>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    settings: Value,
    federations: Vec<Saved>,
    adapters: usize,
    soft: Vec<SoftSet>,
    rounds: Vec<RoundFigures>,
}

/// Writes a checkpoint over the one before.
///
/// # Errors
/// A file that cannot be written; the one before is whole then.
pub(crate) fn write(path: &Path, settings: &Value, run: &Checkpoint) -> Result<()> {
    let header = Header {
        settings: settings.clone(),
        federations: run.federations.clone(),
        adapters: run.adapters.len(),
        soft: run.soft.clone(),
        rounds: run.rounds.clone(),
    };
    let header = serde_json::to_vec(&header).map_err(|error| SimulateError::file(path, error))?;
    let mut content = Vec::new();
    let adapters = run.adapters.iter().map(encode_adapter);
    for part in [header].into_iter().chain(adapters) {
        content.extend((part.len() as u64).to_le_bytes());
        content.extend(part);
    }
    let digest = Sha256::digest(&content);
    write_whole(path, &[MAGIC, digest.as_slice(), &content].concat())
}

/// Reads a checkpoint, where there is one.
///
/// # Errors
/// One of other settings, or a file that is none.
pub(crate) fn read(path: &Path, settings: &Value) -> Result<Option<Checkpoint>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(|error| SimulateError::file(path, error))?;
    let broken = || {
        let message = "expected a run's state of this version, got other bytes; delete it";
        SimulateError::file(path, message)
    };
    let hashed = bytes.strip_prefix(MAGIC).ok_or_else(broken)?;
    let (digest, mut rest) = hashed.split_first_chunk::<32>().ok_or_else(broken)?;
    if Sha256::digest(rest).as_slice() != digest {
        return Err(broken());
    }
    let header: Header =
        serde_json::from_slice(part(&mut rest).ok_or_else(broken)?).map_err(|_| broken())?;
    check_settings(path, &header.settings, settings)?;
    let mut adapters = Vec::new();
    for _ in 0..header.adapters {
        let adapter = decode_adapter(part(&mut rest).ok_or_else(broken)?);
        adapters.push(adapter.map_err(|_| broken())?);
    }
    Ok(Some(Checkpoint {
        federations: header.federations,
        adapters,
        soft: header.soft,
        rounds: header.rounds,
    }))
}

fn part<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, after) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

/// Refuses to go on with a run of other settings.
///
/// # Errors
/// [`SimulateError::OtherSettings`] with the first one that differs.
pub(crate) fn check_settings(path: &Path, found: &Value, wanted: &Value) -> Result<()> {
    if !found.is_object() {
        let message = "expected a run's figures of this version, got other bytes; delete it";
        return Err(SimulateError::file(path, message));
    }
    let Some((key, found, wanted)) = difference("", found, wanted) else {
        return Ok(());
    };
    Err(SimulateError::OtherSettings {
        folder: path.parent().unwrap_or(path).display().to_string(),
        key,
        found,
        wanted,
    })
}

/// The first key at which two values differ, and both values there.
fn difference(key: &str, found: &Value, wanted: &Value) -> Option<(String, String, String)> {
    let (Value::Object(a), Value::Object(b)) = (found, wanted) else {
        let differs = found != wanted;
        return differs.then(|| (key.to_owned(), found.to_string(), wanted.to_string()));
    };
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    keys.into_iter().find_map(|inner| {
        let path = match key {
            "" => inner.clone(),
            key => format!("{key}.{inner}"),
        };
        let none = Value::Null;
        difference(
            &path,
            a.get(inner).unwrap_or(&none),
            b.get(inner).unwrap_or(&none),
        )
    })
}

/// Writes a file so that it is there whole or as it was before.
///
/// # Errors
/// A file that cannot be written.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, beside it, and the same each time, so that what an interruption left is written over.
    let next = path.with_file_name(format!(".{name}.lpfl-next"));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&next)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&next, path)
    };
    write().map_err(|error| {
        // Half a file helps nobody, and may fill the disk.
        let _ = fs::remove_file(&next);
        SimulateError::file(path, error)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            federations: Vec::new(),
            adapters: vec![Adapter::default()],
            soft: vec![SoftSet::default()],
            rounds: vec![RoundFigures::default()],
        }
    }

    #[test]
    fn a_checkpoint_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed-0.checkpoint");
        let settings = json!({"rounds": 3, "training": {"epochs": 2}});
        assert_eq!(read(&path, &settings).unwrap(), None);
        write(&path, &settings, &checkpoint()).unwrap();
        assert_eq!(read(&path, &settings).unwrap(), Some(checkpoint()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn other_settings_and_other_bytes_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed-0.checkpoint");
        write(&path, &json!({"training": {"epochs": 2}}), &checkpoint()).unwrap();
        let error = read(&path, &json!({"training": {"epochs": 3}}))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("training.epochs = 2, which is now 3"),
            "{error}"
        );
        let whole = fs::read(&path).unwrap();
        let cut = [0, 5, 20, whole.len() - 1].map(|length| whole[..length].to_vec());
        let changed = [11, 60, whole.len() - 1].map(|place| {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            bytes
        });
        for bytes in cut.iter().chain(&changed) {
            fs::write(&path, bytes).unwrap();
            let error = read(&path, &json!({"training": {"epochs": 2}}))
                .unwrap_err()
                .to_string();
            assert!(error.contains("delete it"), "{error}");
        }
    }
}
