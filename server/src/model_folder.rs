//! A base model's directory on disk: which files it has, and the model in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use learner::{BaseModel, LearnerError, WeightFile};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::models::add_file;
use crate::secrets::hexadecimal;

/// The configuration.
pub const CONFIG: &str = "config.json";
/// The tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";
/// The weights, where they are one file.
pub const WEIGHTS: &str = "model.safetensors";
/// Which of several files has which weights.
pub const INDEX: &str = "model.safetensors.index.json";

/// Most bytes of a file that is read at once.
const JSON_LIMIT: u64 = 256 << 20;
/// Most files of weights.
const SHARD_LIMIT: usize = 1_000;
/// Most characters of a file's name.
const NAME_CHARACTERS: usize = 128;

/// Why a directory is not a model that can be used; one line with the file and the mend.
#[derive(Debug, thiserror::Error)]
pub enum ModelFolderError {
    /// No directory.
    #[error(
        "{path}: expected a directory with config.json, tokenizer.json and model.safetensors, got {got}"
    )]
    Folder {
        /// The path.
        path: PathBuf,
        /// What is there, or what the system says.
        got: String,
    },
    /// A file that is missing, or no file.
    #[error("{path}: expected a file, got {got}; {mend}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What is there, or what the system says.
        got: String,
        /// What helps.
        mend: &'static str,
    },
    /// A file that is too small or too large to be right.
    #[error("{path}: expected {expected} bytes, got {got}")]
    Size {
        /// The file.
        path: PathBuf,
        /// What would do.
        expected: String,
        /// Its size.
        got: u64,
    },
    /// A file that cannot be read.
    #[error("{path} cannot be read ({reason})")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// An index of weights that names no files, or ones that cannot be its own.
    #[error("{path}, weight_map: {error}")]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong.
        error: IndexError,
    },
    /// Files that are no model, or none that this program can follow.
    #[error("{path}: {error}")]
    Model {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        error: Box<LearnerError>,
    },
}

/// What is wrong with an index of weights.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It is no index.
    #[error("expected tensors and their files, got something else ({0})")]
    Json(String),
    /// It names no file.
    #[error("expected tensors and their files, got none")]
    Empty,
    /// It names more files than any model has.
    #[error("expected at most {SHARD_LIMIT} files, got {0}")]
    Many(usize),
    /// It names a file that cannot be in the same directory.
    #[error("expected names such as model-00001-of-00002.safetensors, got {0:?}")]
    Name(String),
}

/// The files of weights that an index names, in the order of their names.
///
/// # Errors
/// [`IndexError`]; in particular for a name with a path in it.
pub fn shards(index_json: &[u8]) -> Result<Vec<String>, IndexError> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_slice(index_json).map_err(|error| IndexError::Json(error.to_string()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if let Some(bad) = names.iter().find(|name| !is_weights_name(name)) {
        return Err(IndexError::Name(
            bad.chars().take(NAME_CHARACTERS).collect(),
        ));
    }
    match names.len() {
        0 => Err(IndexError::Empty),
        1..=SHARD_LIMIT => Ok(names.into_iter().collect()),
        many => Err(IndexError::Many(many)),
    }
}

/// A file name, never a path.
fn is_weights_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= NAME_CHARACTERS
        && !name.starts_with('.')
        && name.ends_with(".safetensors")
        && name.bytes().all(plain)
}

/// A directory whose files are all there; what is in them is read by [`Self::load`].
#[derive(Clone, Debug)]
pub struct ModelFolder {
    path: PathBuf,
    weights: Vec<String>,
    bytes: u64,
}

impl ModelFolder {
    /// Looks for the files: the configuration, the tokenizer, and the weights in one file or in
    /// those that the index names.
    ///
    /// # Errors
    /// [`ModelFolderError`] for the first that is missing or cannot be right.
    pub fn open(path: &Path) -> Result<Self, ModelFolderError> {
        let folder = |got: String| ModelFolderError::Folder {
            path: path.into(),
            got,
        };
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(folder("a file".into())),
            Err(error) => return Err(folder(error.to_string())),
        }
        for name in [CONFIG, TOKENIZER] {
            size(path, name)?;
        }
        let index = path.join(INDEX);
        let weights = if !path.join(WEIGHTS).exists() && index.exists() {
            let json = read(path, INDEX)?;
            shards(&json).map_err(|error| ModelFolderError::Index { path: index, error })?
        } else {
            vec![WEIGHTS.to_owned()]
        };
        let sizes = weights.iter().map(|name| size(path, name));
        Ok(Self {
            path: path.into(),
            bytes: sizes.sum::<Result<u64, _>>()?,
            weights,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files of weights.
    pub fn weights(&self) -> &[String] {
        &self.weights
    }

    /// Size of the files of weights.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All files that a model is made of: configuration, tokenizer, weights.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let weights = self.weights.iter().map(String::as_str);
        [CONFIG, TOKENIZER].into_iter().chain(weights)
    }

    /// The SHA-256 of its files one after the other; blocks.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn digest(&self) -> Result<String, ModelFolderError> {
        let mut digest = Sha256::new();
        for name in self.files() {
            let path = self.path.join(name);
            add_file(&mut digest, &path).map_err(|error| unreadable(&path, &error))?;
        }
        Ok(hexadecimal(&digest.finalize()))
    }

    /// Reads the model; blocks. The weights are read tensor by tensor, so that no more memory is
    /// needed than the model's own.
    ///
    /// # Errors
    /// [`ModelFolderError`] for the first thing that does not fit.
    pub fn load(&self) -> Result<BaseModel, ModelFolderError> {
        let refused = |error| ModelFolderError::Model {
            path: self.path.clone(),
            error: Box::new(error),
        };
        let config = read(&self.path, CONFIG)?;
        // Before the larger files are read for nothing.
        BaseModel::check_config(&config).map_err(refused)?;
        let tokenizer = read(&self.path, TOKENIZER)?;
        let open = |name: &String| {
            let path = self.path.join(name);
            let file = File::open(&path).map_err(|error| unreadable(&path, &error))?;
            Ok(WeightFile::new(name, file))
        };
        let weights: Vec<_> = self.weights.iter().map(open).collect::<Result<_, _>>()?;
        BaseModel::from_files(&config, &tokenizer, weights).map_err(refused)
    }
}

/// The size of a regular file that is not empty.
fn size(folder: &Path, name: &str) -> Result<u64, ModelFolderError> {
    let path = folder.join(name);
    let got = match fs::metadata(&path) {
        Ok(found) if found.is_file() && found.len() > 0 => return Ok(found.len()),
        Ok(found) if found.is_file() => {
            return Err(ModelFolderError::Size {
                path,
                expected: "at least 1".into(),
                got: 0,
            });
        }
        Ok(found) if found.is_dir() => "a directory".into(),
        Ok(_) => "something else".into(),
        Err(error) => error.to_string(),
    };
    let mend = mend(folder, name);
    Err(ModelFolderError::Missing { path, got, mend })
}

fn mend(folder: &Path, name: &str) -> &'static str {
    let has = |other: &str| folder.join(other).exists();
    match name {
        CONFIG => "name the directory that holds a model's config.json",
        TOKENIZER
            if ["vocab.txt", "vocab.json", "spiece.model"]
                .into_iter()
                .any(has) =>
        {
            TOKENIZER_MEND
        }
        TOKENIZER => "fetch it from where the model comes from",
        WEIGHTS if has("pytorch_model.bin") || has("pytorch_model.bin.index.json") => WEIGHTS_MEND,
        _ => "fetch the model again",
    }
}

/// How to make the one tokenizer file that this program reads.
pub const TOKENIZER_MEND: &str = "a fast tokenizer's file is needed; make it with transformers: \
    AutoTokenizer.from_pretrained(DIR, use_fast=True).save_pretrained(DIR)";

/// How to make the weights that this program reads out of a pickle.
pub const WEIGHTS_MEND: &str = "safetensors are needed; make them with transformers: \
    AutoModelForMaskedLM.from_pretrained(DIR).save_pretrained(DIR, safe_serialization=True)";

fn read(folder: &Path, name: &str) -> Result<Vec<u8>, ModelFolderError> {
    let got = size(folder, name)?;
    let path = folder.join(name);
    if got > JSON_LIMIT {
        return Err(ModelFolderError::Size {
            path,
            expected: format!("at most {JSON_LIMIT}"),
            got,
        });
    }
    fs::read(&path).map_err(|error| unreadable(&path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> ModelFolderError {
    ModelFolderError::Unreadable {
        path: path.into(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
