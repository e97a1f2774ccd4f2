//! Data sets from their archives, or from a folder where they are unpacked.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use fl_core::random::{Purpose, generator};
use fl_core::task::Task;
use learner::texts;
use liblzma::read::XzDecoder;
use rand::seq::SliceRandom as _;

use super::cases::Set;

/// Training texts are drawn from at most this many, so that choosing them stays quick.
const MOST_TRAINING: usize = 12_000;

/// Most bytes of one file of an archive.
const MOST_BYTES: u64 = 64 << 20;

/// Texts with their labels' positions in the task.
pub type Labelled = Vec<(String, usize)>;

/// A data set.
#[derive(Debug)]
pub struct Data {
    /// Texts to train on, and to calibrate with when their labels are hidden.
    pub train: Labelled,
    /// Texts to choose settings with.
    pub validation: Labelled,
    /// Texts to measure on.
    pub test: Labelled,
}

/// Reads a set; `None` where the folder does not have it.
///
/// # Errors
/// An archive that cannot be read, or one without the files of its set.
pub fn open(folder: &Path, set: &Set, most: u32) -> Result<Option<Data>> {
    let Some(files) = files(folder, set)? else {
        return Ok(None);
    };
    let read = |name: &str| -> Result<Labelled> {
        let found = files.iter().find(|(file, _)| file == name);
        let (_, content) = found.with_context(|| format!("{} has no {name}", set.name))?;
        labelled(content, &set.task).with_context(|| format!("{}/{name}", set.name))
    };
    let mut train = drawn(read("train.csv")?, MOST_TRAINING);
    let validation = match set.validation {
        Some(name) => drawn(read(name)?, set.validation_texts),
        // The end of a shuffled list; nothing else is drawn from it.
        None => train.split_off(train.len().saturating_sub(set.validation_texts)),
    };
    Ok(Some(Data {
        train,
        validation,
        test: drawn(read("test.csv")?, most as usize),
    }))
}

type Files = Vec<(String, Vec<u8>)>;

fn files(folder: &Path, set: &Set) -> Result<Option<Files>> {
    let wanted: Vec<&str> = ["train.csv", "test.csv"]
        .into_iter()
        .chain(set.validation)
        .collect();
    let unpacked = folder.join(set.name);
    if unpacked.is_dir() {
        let read = |name: &&str| -> Result<(String, Vec<u8>)> {
            let path = unpacked.join(name);
            let content = std::fs::read(&path).with_context(|| path.display().to_string())?;
            Ok(((*name).to_owned(), content))
        };
        return wanted.iter().map(read).collect::<Result<_>>().map(Some);
    }
    let path = folder.join(format!("{}.tar.xz", set.name));
    if !path.is_file() {
        return Ok(None);
    }
    unpack(&path, &wanted)
        .with_context(|| path.display().to_string())
        .map(Some)
}

fn unpack(path: &Path, wanted: &[&str]) -> Result<Files> {
    let mut archive = tar::Archive::new(XzDecoder::new(File::open(path)?));
    let mut files = Files::new();
    for entry in archive.entries()? {
        let entry = entry?;
        let name = entry
            .path()?
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name.filter(|name| wanted.contains(&name.as_str())) else {
            continue;
        };
        let mut content = Vec::new();
        entry.take(MOST_BYTES + 1).read_to_end(&mut content)?;
        if content.len() as u64 > MOST_BYTES {
            bail!("{name} is above {MOST_BYTES} bytes");
        }
        files.push((name, content));
    }
    Ok(files)
}

/// The texts that have a label.
pub fn labelled(content: &[u8], task: &Task) -> Result<Labelled> {
    let rows = texts::read(content, task)?.rows;
    let labelled: Labelled = rows
        .into_iter()
        .filter_map(|row| Some((row.text, row.label?)))
        .collect();
    if labelled.is_empty() {
        bail!("no text has a label of the task {:?}", task.name);
    }
    Ok(labelled)
}

/// `most` of the texts at random, the same every time.
fn drawn(mut texts: Labelled, most: usize) -> Labelled {
    let mut rng = generator(0, Purpose::Partition, 1);
    texts.shuffle(&mut rng);
    texts.truncate(most);
    texts
}
