//! Adapters as the two files of a Hugging Face PEFT directory, in and out.
//!
//! Names and fields are those of PEFT 0.21 (`peft/tuners/lora/config.py`, `peft/utils/save_and_load.py`).

mod config;
mod matrices;

use fl_core::adapter::Adapter;
use fl_core::codec;
use fl_core::settings::{LoraScaling, LoraSettings};
use serde_json::{Value, json};

use crate::Result;
use crate::error::LearnerError;
use crate::model::BaseModel;

/// Name of PEFT's configuration.
pub const CONFIG: &str = "adapter_config.json";
/// Name of PEFT's weights.
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// An adapter read from PEFT's files.
#[derive(Clone, Debug, PartialEq)]
pub struct PeftAdapter {
    /// What the configuration calls the base model. A name only: the matrices decide what fits.
    pub base_model: Option<String>,
    /// The settings that the adapter was made with.
    pub lora: LoraSettings,
    /// The matrices, under the names that a learner with these settings gives them.
    pub adapter: Adapter,
}

/// The `adapter_config.json` of adapters with these settings for `base`, which PEFT finds under
/// the name `base_model`.
pub fn config(base: &BaseModel, lora: &LoraSettings, base_model: &str) -> Vec<u8> {
    let layers = lora.top_layers.map(|_| {
        let lowest = lora.lowest_layer(base.layers());
        (lowest..base.layers()).collect::<Vec<_>>()
    });
    let config = json!({
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layers_pattern": null,
        "layers_to_transform": layers,
        "lora_alpha": number(lora.alpha),
        "lora_dropout": number(lora.dropout),
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": lora.rank,
        "target_modules": base.target_modules(&lora.targets),
        "task_type": null,
        "use_dora": false,
        "use_rslora": lora.scaling == LoraScaling::RankStabilised,
    });
    format!("{config:#}\n").into_bytes()
}

/// The `adapter_model.safetensors` of an adapter.
pub fn weights(adapter: &Adapter) -> Vec<u8> {
    codec::encode_adapter(adapter)
}

/// Reads an adapter for `base` from the bytes of PEFT's two files, in f32, f16 or bf16.
///
/// The file of weights decides what is adapted; it must be whole targets, in every layer or in every
/// layer from one up.
///
/// # Errors
/// The first field or matrix that does not fit, with what was expected and what was got. A kind
/// of adapter that is not plain LoRA is refused by the field that says so.
pub fn read(base: &BaseModel, config_json: &[u8], weights: &[u8]) -> Result<PeftAdapter> {
    let config = config::Config::new(config_json)?;
    let (targets, top_layers, adapter) = matrices::read(base, &config, weights)?;
    let lora = LoraSettings {
        targets,
        top_layers,
        ..config.lora
    };
    lora.check().map_err(|error| {
        let field = match error.field.as_str() {
            "lora.rank" => "r",
            "lora.alpha" => "lora_alpha",
            "lora.dropout" => "lora_dropout",
            _ => "target_modules",
        };
        LearnerError::field(CONFIG, field, error.expected, error.got)
    })?;
    Ok(PeftAdapter {
        base_model: config.base_model,
        lora,
        adapter,
    })
}

/// Whether an entry of `target_modules` means the module at `path`.
fn hits(entry: &str, path: &str) -> bool {
    let rest = path.strip_suffix(entry);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A number as it was typed: 16, not 16.0, and 0.1, not the f32 next to it.
fn number(value: f32) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        return Value::from(value as i64);
    }
    let shortest = value.to_string().parse::<f64>();
    shortest.map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests;
