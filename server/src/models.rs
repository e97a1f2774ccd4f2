//! The base models that this server offers: the bundled one and the operator's.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fl_core::protocol::{FileInfo, ModelInfo};
use learner::BaseModel;
use sha2::{Digest, Sha256};

use crate::assets::{self, DefaultModel};
use crate::error::ServerError;
use crate::secrets::hexadecimal;

/// Name of the bundled model.
const DEFAULT: &str = "default";
/// Files of a base model.
const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];
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
    fn bundled() -> Result<Option<Self>, ServerError> {
        let read = |name| DefaultModel::get(name).map(assets::content).ok_or(());
        match each_file(read) {
            Ok(contents) => Self::new(DEFAULT.into(), Source::Bundled, &contents).map(Some),
            Err(()) => Ok(None),
        }
    }

    fn from_folder(folder: &Path) -> Result<Self, ServerError> {
        let unreadable = |path: &Path, error: std::io::Error| ServerError::ModelFile {
            path: path.into(),
            reason: error.to_string(),
        };
        // `--model .` has a name too.
        let folder = &fs::canonicalize(folder).map_err(|error| unreadable(folder, error))?;
        let name = folder.file_name().and_then(|name| name.to_str());
        let name = name.filter(|name| is_name(name));
        let name = name.ok_or_else(|| ServerError::ModelName {
            path: folder.clone(),
        })?;
        let contents = each_file(|file| {
            let path = folder.join(file);
            let bytes = fs::read(&path).map_err(|error| unreadable(&path, error))?;
            Ok(Bytes::from(bytes))
        })?;
        Self::new(name.into(), Source::Folder(folder.clone()), &contents)
    }

    fn new(name: String, source: Source, contents: &[Bytes; 3]) -> Result<Self, ServerError> {
        let [config, tokenizer, weights] = contents;
        let base = BaseModel::from_bytes(config, tokenizer, weights).map_err(|error| {
            ServerError::Model {
                name: name.clone(),
                error,
            }
        })?;
        let file = |(name, bytes): (&str, &Bytes)| FileInfo {
            name: name.into(),
            bytes: bytes.len() as u64,
            sha256: hexadecimal(&Sha256::digest(bytes)),
        };
        let info = ModelInfo {
            name,
            parameters: base.parameters(),
            files: FILES.into_iter().zip(contents).map(file).collect(),
        };
        Ok(Self { info, base, source })
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

fn each_file<E>(read: impl Fn(&'static str) -> Result<Bytes, E>) -> Result<[Bytes; 3], E> {
    let [config, tokenizer, weights] = FILES;
    Ok([read(config)?, read(tokenizer)?, read(weights)?])
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
