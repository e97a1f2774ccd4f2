//! The base models that this server offers: the bundled one and the operator's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fl_core::protocol::{FileInfo, ModelInfo};
use learner::BaseModel;
use sha2::{Digest, Sha256};

use crate::assets::{self, DefaultModel};
use crate::error::ServerError;
use crate::model_folder::{CONFIG, ModelFolder, TOKENIZER, WEIGHTS};
use crate::secrets::hexadecimal;

/// Name of the bundled model.
const DEFAULT: &str = "default";
/// The bundled model's files.
const FILES: [&str; 3] = [CONFIG, TOKENIZER, WEIGHTS];
/// Bytes read at once.
const PIECE: usize = 64 << 10;
/// Most characters of a model's name.
const NAME_CHARACTERS: usize = 64;

/// A base model, read and checked.
#[derive(Debug)]
pub(crate) struct Model {
    /// What clients are told.
    pub(crate) info: ModelInfo,
    /// Its frozen tensors.
    pub(crate) base: BaseModel,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Bundled,
    Folder(PathBuf),
}

/// Where a model file's bytes are.
#[derive(Debug)]
pub(crate) enum Content {
    /// In memory.
    Bytes(Bytes),
    /// In this file.
    File(PathBuf),
}

/// All models by name.
#[derive(Debug)]
pub(crate) struct Models(BTreeMap<String, Model>);

impl Models {
    /// The bundled model, where the binary has one, and those of these folders.
    pub(crate) fn open(folders: &[PathBuf]) -> Result<Self, ServerError> {
        let mut models = BTreeMap::new();
        if let Some(model) = Model::bundled()? {
            models.insert(DEFAULT.to_owned(), model);
        }
        for folder in folders {
            let model = Model::from_folder(folder)?;
            let name = model.info.name.clone();
            if models.insert(name, model).is_some() {
                return Err(ServerError::ModelName {
                    path: folder.clone(),
                });
            }
        }
        Ok(Self(models))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Model> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Model> {
        self.0.values()
    }
}

impl Model {
    /// The one of the binary, where it has one.
    pub(crate) fn bundled() -> Result<Option<Self>, ServerError> {
        let read = |name| DefaultModel::get(name).map(assets::content);
        let [Some(config), Some(tokenizer), Some(weights)] = FILES.map(read) else {
            return Ok(None);
        };
        let name = DEFAULT.to_owned();
        let base = BaseModel::from_bytes(&config, &tokenizer, &weights)
            .map_err(|error| ServerError::Model { name, error })?;
        let file = |(name, bytes): (&str, Bytes)| FileInfo {
            name: name.into(),
            bytes: bytes.len() as u64,
            sha256: hexadecimal(&Sha256::digest(&bytes)),
        };
        let contents = FILES.into_iter().zip([config, tokenizer, weights]);
        let info = ModelInfo {
            name: DEFAULT.into(),
            parameters: base.parameters(),
            files: contents.map(file).collect(),
        };
        Ok(Some(Self {
            info,
            base,
            source: Source::Bundled,
        }))
    }

    /// The SHA-256 of the bundled model's files one after the other, where the binary has them.
    pub(crate) fn bundled_digest() -> Option<String> {
        let mut digest = Sha256::new();
        for name in FILES {
            digest.update(assets::content(DefaultModel::get(name)?));
        }
        Some(hexadecimal(&digest.finalize()))
    }

    fn from_folder(path: &Path) -> Result<Self, ServerError> {
        // `--model .` has a name too; what cannot be found is named as it was given.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
        let folder = ModelFolder::open(&path)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.filter(|name| is_name(name));
        let name = name.ok_or_else(|| ServerError::ModelName { path: path.clone() })?;
        let base = folder.load()?;
        let info = |file: &str| {
            let path = path.join(file);
            let digest = digest(&path).map_err(|error| ServerError::unreadable(&path, &error));
            digest.map(|(bytes, sha256)| FileInfo {
                name: file.into(),
                bytes,
                sha256,
            })
        };
        let info = ModelInfo {
            name: name.into(),
            parameters: base.parameters(),
            files: folder.files().map(info).collect::<Result<_, _>>()?,
        };
        Ok(Self {
            info,
            base,
            source: Source::Folder(path),
        })
    }

    /// One of its files, with what clients are told of it.
    pub(crate) fn file(&self, name: &str) -> Option<(&FileInfo, Content)> {
        let info = self.info.files.iter().find(|file| file.name == name)?;
        let content = match &self.source {
            Source::Bundled => Content::Bytes(assets::content(DefaultModel::get(name)?)),
            Source::Folder(folder) => Content::File(folder.join(name)),
        };
        Some((info, content))
    }
}

/// Size and SHA-256 of a file.
fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let bytes = add_file(&mut digest, path)?;
    Ok((bytes, hexadecimal(&digest.finalize())))
}

/// Adds a file to a digest, read in pieces; returns its size.
pub(crate) fn add_file(digest: &mut Sha256, path: &Path) -> std::io::Result<u64> {
    let (mut file, mut bytes) = (File::open(path)?, 0);
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok(bytes);
        }
        digest.update(&piece[..count]);
        bytes += count as u64;
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_CHARACTERS).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_are_refused() {
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(is_name("bert-base_1.5"));
    }

    #[test]
    fn incomplete_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("half");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config.json"), "{}").unwrap();
        let error = Models::open(&[folder]).unwrap_err().to_string();
        assert!(error.contains("half/tokenizer.json"), "{error}");
    }
}
