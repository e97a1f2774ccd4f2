//! `lpfl model info`: what a model directory holds.

use std::path::PathBuf;

use anyhow::Result;
use server::ModelFolder;

/// Print what a model directory holds.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Hugging Face directory: config.json, tokenizer.json and model.safetensors
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the command to its end.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = ModelFolder::open(&arguments.folder)?;
    let model = folder.load()?;
    println!("parameters  {}", model.parameters());
    println!("layers      {}", model.layers());
    println!("hidden      {}", model.hidden());
    println!("positions   {}", model.positions());
    Ok(())
}
