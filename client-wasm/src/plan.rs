//! Which files of a model a client downloads.

use fl_core::protocol::{FileInfo, ModelInfo};

use crate::download::DownloadError;

/// Most bytes of one file of a model, so that no server fills a tab's memory.
pub const FILE_LIMIT: u64 = 512 << 20;

/// Most bytes of all files of a model.
pub const MODEL_LIMIT: u64 = 2 << 30;

/// Most files of a model's weights.
pub const WEIGHTS_LIMIT: usize = 256;

/// The files to fetch for a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// `config.json`
    pub config: FileInfo,
    /// `tokenizer.json`
    pub tokenizer: FileInfo,
    /// `model.safetensors`, or the several files that it is split into.
    pub weights: Vec<FileInfo>,
}

impl Plan {
    /// Finds a model's files among those that the server lists.
    ///
    /// # Errors
    /// A file that is not listed, or more bytes or files than [`FILE_LIMIT`], [`MODEL_LIMIT`] and
    /// [`WEIGHTS_LIMIT`] allow.
    pub fn new(model: &ModelInfo) -> Result<Self, DownloadError> {
        let weights = |file: &&FileInfo| file.name.ends_with(".safetensors");
        let plan = Self {
            config: listed(model, "config.json")?,
            tokenizer: listed(model, "tokenizer.json")?,
            weights: model.files.iter().filter(weights).cloned().collect(),
        };
        if plan.weights.is_empty() {
            return Err(unlisted(model, "model.safetensors"));
        }
        if plan.weights.len() > WEIGHTS_LIMIT {
            return Err(DownloadError::Many {
                limit: WEIGHTS_LIMIT,
                got: plan.weights.len(),
            });
        }
        let mut total = 0_u64;
        for file in plan.files() {
            within(&file.name, FILE_LIMIT, file.bytes)?;
            total += file.bytes;
        }
        within("the model's files together", MODEL_LIMIT, total)?;
        Ok(plan)
    }

    /// All of them, in the order in which they are fetched.
    pub fn files(&self) -> impl Iterator<Item = &FileInfo> {
        [&self.config, &self.tokenizer]
            .into_iter()
            .chain(&self.weights)
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.bytes).sum()
    }
}

fn listed(model: &ModelInfo, what: &'static str) -> Result<FileInfo, DownloadError> {
    let found = model.files.iter().find(|file| file.name == what);
    found.cloned().ok_or_else(|| unlisted(model, what))
}

fn unlisted(model: &ModelInfo, what: &'static str) -> DownloadError {
    let names = model.files.iter().map(|file| file.name.clone());
    DownloadError::Unlisted {
        what,
        got: names.take(20).collect(),
    }
}

fn within(what: &str, expected: u64, got: u64) -> Result<(), DownloadError> {
    if got <= expected {
        return Ok(());
    }
    Err(DownloadError::Size {
        what: what.into(),
        expected,
        got,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(names: &[&str]) -> ModelInfo {
        ModelInfo {
            files: names
                .iter()
                .map(|&name| FileInfo {
                    name: name.into(),
                    bytes: 1,
                    sha256: String::new(),
                })
                .collect(),
            ..ModelInfo::default()
        }
    }

    #[test]
    fn a_plan_has_every_shard() {
        let listed = [
            "b.safetensors",
            "tokenizer.json",
            "a.safetensors",
            "config.json",
            "x.txt",
        ];
        let plan = Plan::new(&model(&listed)).unwrap();
        let names: Vec<&str> = plan.files().map(|file| &*file.name).collect();
        let expected = [
            "config.json",
            "tokenizer.json",
            "b.safetensors",
            "a.safetensors",
        ];
        assert_eq!(names, expected);
        assert_eq!(plan.bytes(), 4);
    }

    #[test]
    fn a_plan_names_what_is_missing_or_too_large() {
        let whole = ["config.json", "tokenizer.json", "model.safetensors"];
        for missing in whole {
            let rest: Vec<&str> = whole.into_iter().filter(|name| *name != missing).collect();
            let error = Plan::new(&model(&rest)).unwrap_err();
            assert!(error.is_missing());
            assert!(error.to_string().contains(missing), "{error}");
        }
        let size = |model: &ModelInfo| match Plan::new(model).unwrap_err() {
            DownloadError::Size { what, .. } => what,
            other => panic!("{other}"),
        };
        let mut large = model(&whole);
        large.files[0].bytes = u64::MAX;
        assert_eq!(size(&large), "config.json");
        let shards: Vec<String> = (0..300).map(|n| format!("{n}.safetensors")).collect();
        let names: Vec<&str> = whole
            .into_iter()
            .chain(shards.iter().map(|n| &**n))
            .collect();
        let many = Plan::new(&model(&names)).unwrap_err();
        assert!(
            matches!(many, DownloadError::Many { got: 301, .. }),
            "{many}"
        );
        let mut together = model(&names[..9]);
        together
            .files
            .iter_mut()
            .for_each(|file| file.bytes = FILE_LIMIT);
        assert_eq!(size(&together), "the model's files together");
    }
}
