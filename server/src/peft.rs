//! An adapter as Hugging Face PEFT's two files.

use fl_core::settings::{LoraTarget, RoomSettings};
use serde_json::{Value, json};

/// Name of PEFT's configuration.
pub(crate) const CONFIG: &str = "adapter_config.json";
/// Name of PEFT's weights.
pub(crate) const WEIGHTS: &str = "adapter_model.safetensors";

/// The `adapter_config.json` of a room's adapters, with PEFT's `LoraConfig` fields.
pub(crate) fn adapter_config(settings: &RoomSettings) -> Value {
    let target = |target: &LoraTarget| match target {
        LoraTarget::Query => "query",
        LoraTarget::Key => "key",
        LoraTarget::Value => "value",
        LoraTarget::AttentionOutput => "attention.output.dense",
        LoraTarget::FeedForwardIn => "intermediate.dense",
        LoraTarget::FeedForwardOut => "output.dense",
    };
    let targets: Vec<&str> = settings.lora.targets.iter().map(target).collect();
    json!({
        "base_model_name_or_path": settings.model,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "layers_pattern": null,
        "layers_to_transform": null,
        "lora_alpha": settings.lora.alpha,
        "lora_dropout": 0.0,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": settings.lora.rank,
        "target_modules": targets,
        "task_type": null,
        "use_dora": false,
        "use_rslora": false,
    })
}

/// The file's bytes.
pub(crate) fn adapter_config_json(settings: &RoomSettings) -> String {
    // Maps with text keys and finite numbers are always JSON.
    serde_json::to_string_pretty(&adapter_config(settings)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_names_what_peft_needs() {
        let config = adapter_config(&RoomSettings::default());
        assert_eq!(config["peft_type"], "LORA");
        assert_eq!(config["r"], 8);
        assert_eq!(config["lora_alpha"], 16.0);
        assert_eq!(config["target_modules"], json!(["query", "value"]));
    }
}
