//! `lpfl model info`: what a model directory holds, and what LoRA would add to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};
use fl_core::settings::{LoraSettings, LoraTarget};
use indicatif::{BinaryBytes, HumanCount};
use learner::ModelInfo;
use serde::Serialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as NotATarget;
use server::ModelFolder;

/// Print what a model directory holds, and what LoRA would add to it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Hugging Face directory: config.json, tokenizer.json and model.safetensors, or its index and
    /// the files that it names
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Rank of the LoRA matrices
    #[arg(long, value_name = "R", default_value_t = LoraSettings::default().rank, value_parser = clap::value_parser!(u32).range(1..=256))]
    rank: u32,
    /// Projections that LoRA adapts: query, key, value, attention_output, feed_forward_in,
    /// feed_forward_out
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "query,value", value_parser = target)]
    targets: Vec<LoraTarget>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command to its end.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = ModelFolder::open(&arguments.folder)?;
    let model = folder.load()?.info();
    let report = Report {
        adapter: Adapter::new(&model, arguments.rank, &arguments.targets)?,
        files: folder.weights().to_vec(),
        stored_bytes: folder.bytes(),
        peak_memory: peak_memory(),
        full_update_bytes: model.parameters * 4,
        model,
    };
    match arguments.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{report}"),
    }
    Ok(())
}

/// All that is printed.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    model: ModelInfo,
    /// Files of the weights.
    files: Vec<String>,
    /// Their bytes.
    stored_bytes: u64,
    /// Most bytes of memory that this program held, where the system tells.
    peak_memory: Option<u64>,
    /// What the chosen rank and targets add; the model's own field has every target.
    adapter: Adapter,
    /// Bytes of an update in f32 that trains every parameter, as FP-FL does.
    full_update_bytes: u64,
}

/// What LoRA adds.
#[derive(Debug, Serialize)]
struct Adapter {
    rank: u32,
    /// Adapted modules by target.
    modules: BTreeMap<LoraTarget, Vec<String>>,
    parameters: u64,
    /// Bytes of an update in f32.
    bytes: u64,
}

impl Adapter {
    fn new(model: &ModelInfo, rank: u32, targets: &[LoraTarget]) -> Result<Self> {
        let mut modules = BTreeMap::new();
        // A module that serves several targets is adapted once.
        let mut counted = BTreeSet::new();
        let mut parameters = 0;
        for target in targets {
            let added = model
                .lora
                .get(target)
                .filter(|added| !added.modules.is_empty());
            let Some(added) = added else {
                let (name, architecture) = (name(*target), &model.architecture);
                bail!("--targets: {architecture} has no module for {name}; leave it out");
            };
            if counted.insert(&added.modules) {
                parameters += u64::from(rank) * added.parameters_per_rank;
            }
            modules.insert(*target, added.modules.clone());
        }
        Ok(Self {
            rank,
            modules,
            parameters,
            bytes: parameters * 4,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = &self.model;
        let count = |count: usize| HumanCount(count as u64).to_string();
        let lines = [
            ("architecture", model.architecture.to_string()),
            ("layers", count(model.layers)),
            ("hidden", count(model.hidden)),
            ("embedding", count(model.embedding)),
            ("heads", count(model.heads)),
            ("feed-forward", count(model.feed_forward)),
            ("vocabulary", count(model.vocabulary)),
            ("positions", count(model.max_tokens)),
            ("tokenizer", model.tokenizer.to_string()),
            ("mask token", model.mask_token.clone()),
            ("parameters", HumanCount(model.parameters).to_string()),
            ("in files", self.stored()),
            ("in memory", format!("{} as f32", BinaryBytes(model.bytes))),
        ];
        for (label, value) in lines {
            writeln!(f, "{label:<14}{value}")?;
        }
        if let Some(peak) = self.peak_memory {
            let share = peak as f64 / model.bytes as f64;
            let peak = BinaryBytes(peak);
            writeln!(f, "{:<14}{peak}, {share:.2} times the model", "peak memory")?;
        }
        self.adapter.fmt(f)?;
        let (full, lora) = (self.full_update_bytes, self.adapter.bytes);
        let times = full as f64 / lora.max(1) as f64;
        let full = BinaryBytes(full);
        writeln!(
            f,
            "all parameters: {full} an update in f32, {times:.0} times LoRA's"
        )
    }
}

impl Report {
    fn stored(&self) -> String {
        let bytes = BinaryBytes(self.stored_bytes);
        let kinds: Vec<&str> = self.model.stored.keys().map(String::as_str).collect();
        let kinds = kinds.join(" and ").to_ascii_lowercase();
        match &self.files[..] {
            [file] => format!("{bytes} of {kinds} in {file}"),
            files => format!("{bytes} of {kinds} in {} files", files.len()),
        }
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parameters, bytes) = (HumanCount(self.parameters), BinaryBytes(self.bytes));
        let rank = self.rank;
        writeln!(
            f,
            "LoRA, rank {rank}: {parameters} parameters, {bytes} an update in f32"
        )?;
        for (target, modules) in &self.modules {
            let target = name(*target);
            let (first, last) = (modules.first(), modules.last());
            match (first, last) {
                (Some(first), Some(last)) if modules.len() > 1 => {
                    let count = modules.len();
                    writeln!(f, "  {target:<18}{count} modules, {first} to {last}")?;
                }
                _ => writeln!(f, "  {target:<18}{}", modules.concat())?,
            }
        }
        Ok(())
    }
}

/// A target as settings spell it.
fn target(text: &str) -> Result<LoraTarget, String> {
    use serde::Deserialize as _;
    LoraTarget::deserialize(text.into_deserializer()).map_err(|error: NotATarget| error.to_string())
}

fn name(target: LoraTarget) -> String {
    match serde_json::to_value(target) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{target:?}"),
    }
}

/// The most memory that this process held at once.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}
