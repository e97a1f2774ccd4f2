//! `lpfl model fetch`: a model of the hub as a directory that `lpfl serve --model` takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use learner::BaseModel;
use server::ModelFolder;
use server::model_folder::{
    CONFIG, INDEX, TOKENIZER, TOKENIZER_MEND, WEIGHTS, WEIGHTS_MEND, shards,
};

use super::hub::{Hub, Promise};
use super::transfer::Transfer;

/// A file that says how a tokenizer is to be used; not every model has it.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Most bytes of a file other than weights.
const JSON_LIMIT: u64 = 256 << 20;
/// Most characters of a model's name.
const NAME_CHARACTERS: usize = 96;
/// Most characters of a revision.
const REVISION_CHARACTERS: usize = 200;

/// Fetch a model from the Hugging Face hub, or from a mirror of it.
///
/// An interrupted download goes on where it stopped when the command is given again. Every file is
/// checked against the hub's checksum. HF_TOKEN is used for models that need one, and HF_ENDPOINT
/// names a mirror.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Name of the model, e.g. google-bert/bert-base-uncased
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "main", value_parser = revision)]
    revision: String,
    /// Directory for the files; the last part of the model's name unless it is given
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Address of the hub [default: HF_ENDPOINT, or https://huggingface.co]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Seconds without a byte after which a connection is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    silence: u64,
}

/// Runs the command to its end.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut hub = Hub::new(
        arguments.endpoint.as_deref(),
        &arguments.name,
        &arguments.revision,
    )?;
    let listed = hub.list()?;
    let choice = Choice::new(&arguments.name, &listed)?;
    let folder = match &arguments.out {
        Some(folder) => folder.clone(),
        None => PathBuf::from(last_part(&arguments.name)),
    };
    if choice.is_split && folder.join(WEIGHTS).exists() {
        let folder = folder.display();
        bail!("{folder} holds the {WEIGHTS} of another model; name another directory with --out");
    }
    fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made; name another --out", folder.display()))?;
    let bar = progress();
    let fetch = Fetch {
        transfer: Transfer {
            hub: &hub,
            folder: &folder,
            silence: Duration::from_secs(arguments.silence),
            bar: &bar,
        },
        listed: &listed,
    };
    let fetched = fetch.all(&choice);
    bar.finish_and_clear();
    fetched?;
    // Whatever the checksums say: what is here has to be a model.
    let model = ModelFolder::open(&folder)?.load()?;
    let (name, commit, shown) = (&arguments.name, hub.commit(), folder.display());
    println!(
        "{name} at {commit}: {} parameters in {shown}",
        model.parameters()
    );
    println!("Offer it with: lpfl serve --model {shown}");
    Ok(())
}

/// Which files a model is made of.
struct Choice {
    /// Whether the weights are in several files.
    is_split: bool,
    has_tokenizer_config: bool,
}

impl Choice {
    fn new(name: &str, listed: &[String]) -> Result<Self> {
        let has = |file: &str| listed.iter().any(|listed| listed == file);
        if !has(CONFIG) {
            bail!("{name} has no {CONFIG}: it is no model of transformers; name another one");
        }
        if !has(TOKENIZER) {
            let slow = ["vocab.txt", "vocab.json", "merges.txt", "spiece.model"];
            let slow: Vec<&str> = slow.into_iter().filter(|file| has(file)).collect();
            let got = match &slow[..] {
                [] => "no tokenizer".into(),
                slow => slow.join(" and "),
            };
            bail!("{name}: expected {TOKENIZER}, got {got}; {TOKENIZER_MEND}");
        }
        if !has(WEIGHTS) && !has(INDEX) {
            let got = match has("pytorch_model.bin") || has("pytorch_model.bin.index.json") {
                true => "pytorch_model.bin, whose format can run programs",
                false => "no weights",
            };
            bail!("{name}: expected {WEIGHTS}, got {got}; {WEIGHTS_MEND}");
        }
        Ok(Self {
            is_split: !has(WEIGHTS),
            has_tokenizer_config: has(TOKENIZER_CONFIG),
        })
    }
}

struct Fetch<'a> {
    transfer: Transfer<'a>,
    listed: &'a [String],
}

impl Fetch<'_> {
    /// The small files first: they tell whether the large ones are of any use.
    fn all(&self, choice: &Choice) -> Result<()> {
        let was_there = self.folder().join(CONFIG).exists();
        let config = self.small(CONFIG)?;
        if let Err(error) = BaseModel::check_config(&config) {
            if !was_there {
                // Nothing is left of a model that is no use; a folder that was there stays.
                let _ = fs::remove_file(self.folder().join(CONFIG));
                let _ = fs::remove_dir(self.folder());
            }
            return Err(error).context("the model cannot be used");
        }
        self.small(TOKENIZER)?;
        if choice.has_tokenizer_config {
            self.small(TOKENIZER_CONFIG)?;
        }
        let weights = match choice.is_split {
            true => self.shards()?,
            false => vec![WEIGHTS.to_owned()],
        };
        let mut promised = Vec::new();
        for file in weights {
            promised.push((self.transfer.promise(&file)?, file));
        }
        let total = promised.iter().map(|(promise, _)| promise.bytes);
        self.transfer
            .bar
            .inc_length(total.fold(0, u64::saturating_add));
        promised
            .iter()
            .try_for_each(|(promise, file)| self.get(file, promise))
    }

    fn folder(&self) -> &Path {
        self.transfer.folder
    }

    fn shards(&self) -> Result<Vec<String>> {
        let files = shards(&self.small(INDEX)?).with_context(|| format!("{INDEX}, weight_map"))?;
        for file in &files {
            if !self.listed.contains(file) {
                bail!("{INDEX} names {file}, which the repository lacks");
            }
        }
        Ok(files)
    }

    /// A file that is read at once.
    fn small(&self, file: &str) -> Result<Vec<u8>> {
        let promise = self.transfer.promise(file)?;
        if promise.bytes > JSON_LIMIT {
            bail!(
                "{file}: expected at most {JSON_LIMIT} bytes, got {}",
                promise.bytes
            );
        }
        self.transfer.bar.inc_length(promise.bytes);
        self.get(file, &promise)?;
        let path = self.folder().join(file);
        fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
    }

    fn get(&self, file: &str, promise: &Promise) -> Result<()> {
        self.transfer.bar.set_message(file.to_owned());
        self.transfer.get(file, promise)
    }
}

/// One bar over all files; it shows on a terminal only.
fn progress() -> ProgressBar {
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// `owner/name`, or a bare name of the hub's first days.
fn name(text: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !part.is_empty() && !part.starts_with(['.', '-']) && part.bytes().all(plain)
    };
    let parts: Vec<&str> = text.split('/').collect();
    let is_name = parts.len() <= 2
        && text.len() <= NAME_CHARACTERS
        && !text.contains("..")
        && parts.iter().all(|part| is_part(part));
    match is_name {
        true => Ok(text.into()),
        false => Err("expected owner/name, e.g. google-bert/bert-base-uncased".into()),
    }
}

fn revision(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let is_revision = (1..=REVISION_CHARACTERS).contains(&text.len())
        && !text.starts_with(['.', '-', '/'])
        && !text.contains("..")
        && !text.contains("//")
        && text.bytes().all(plain);
    match is_revision {
        true => Ok(text.into()),
        false => Err("expected a branch, a tag or a commit, e.g. main".into()),
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_are_refused() {
        let long = "a".repeat(97);
        for bad in [
            "", "/", "a/", "/a", "a/b/c", "..", "../a", "a/..", ".a/b", "a/-b", "a b", "a\\b",
            "a%2f", "é", &long,
        ] {
            assert!(name(bad).is_err(), "{bad}");
        }
        for good in ["bert-base-uncased", "google-bert/bert_base.uncased-2"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn revisions_that_could_be_paths_are_refused() {
        for bad in [
            "", "/a", "a//b", "../a", "a/../b", "-a", ".a", "a b", "a?b", "a#b",
        ] {
            assert!(revision(bad).is_err(), "{bad}");
        }
        for good in ["main", "refs/pr/1", "v1.0"] {
            assert_eq!(revision(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn repositories_without_usable_files_are_refused_with_the_mend() {
        let refused = |files: &[&str]| {
            let listed: Vec<String> = files.iter().map(|&file| file.into()).collect();
            Choice::new("a/b", &listed).err().unwrap().to_string()
        };
        assert!(refused(&[]).contains("no config.json"));
        let slow = refused(&["config.json", "vocab.json", "merges.txt"]);
        assert!(
            slow.contains("got vocab.json and merges.txt; a fast tokenizer's"),
            "{slow}"
        );
        assert!(slow.contains("use_fast=True"), "{slow}");
        let pickle = refused(&["config.json", "tokenizer.json", "pytorch_model.bin"]);
        assert!(pickle.contains("got pytorch_model.bin"), "{pickle}");
        assert!(pickle.contains("safe_serialization=True"), "{pickle}");
    }
}
