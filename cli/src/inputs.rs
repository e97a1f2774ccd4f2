//! Reads what commands work on: base models and files of texts.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use fl_core::task::Task;
use learner::BaseModel;
use learner::peft::{self, PeftAdapter};
use learner::texts::{self, MOST_BYTES, Texts};
use server::ModelFolder;

/// Reads the base model of a Hugging Face folder.
///
/// # Errors
/// One line with the folder, the file in it, what was expected and what was got.
pub fn base_model(folder: &Path) -> Result<BaseModel> {
    Ok(ModelFolder::open(folder)?.load()?)
}

/// Reads the adapter of a PEFT folder for a base model.
///
/// # Errors
/// One line with the folder, the file in it, what was expected and what was got.
pub fn adapter(base: &BaseModel, folder: &Path) -> Result<PeftAdapter> {
    let read = |file: &str| {
        let path = folder.join(file);
        std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let (config, weights) = (read(peft::CONFIG)?, read(peft::WEIGHTS)?);
    peft::read(base, &config, &weights)
        .with_context(|| format!("{} does not fit the model", folder.display()))
}

/// Reads a file of texts, and says on standard error which rows were left out and why.
///
/// # Errors
/// One line with the file, what was expected and what was got.
pub fn texts(path: &Path, task: &Task) -> Result<Texts> {
    let name = path.display();
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too long, however long it is.
    let read = File::open(path).and_then(|file| {
        let most = MOST_BYTES as u64 + 1;
        file.take(most).read_to_end(&mut bytes)
    });
    read.with_context(|| format!("{name}: name a CSV, TSV or JSONL file of texts"))?;
    let texts = texts::read(&bytes, task).with_context(|| name.to_string())?;
    for problem in &texts.problems {
        eprintln!(
            "lpfl: {name}, line {}: {}; left out",
            problem.line, problem.message
        );
    }
    if texts.more_problems > 0 {
        eprintln!("lpfl: {name}: {} more rows left out", texts.more_problems);
    }
    if texts.rows.is_empty() {
        bail!("{name}: expected at least one text, got none");
    }
    Ok(texts)
}
