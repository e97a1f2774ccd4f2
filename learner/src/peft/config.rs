//! PEFT's `adapter_config.json`: what of it plain LoRA can follow.

use fl_core::settings::{LoraScaling, LoraSettings};
use serde_json::{Map, Value};

use super::CONFIG;
use crate::Result;
use crate::error::LearnerError;

/// Fields that change what the matrices mean, unless they are absent, null, false or empty.
const UNSUPPORTED: [&str; 16] = [
    "use_dora",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "fan_in_fan_out",
    "lora_bias",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
];

/// First values that PEFT takes out of the base model's weights, which then are other weights.
const CHANGES_THE_BASE: [&str; 5] = ["pissa", "olora", "corda", "loftq", "lora_ga"];

/// What the configuration says.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) base_model: Option<String>,
    /// All but the targets.
    pub(super) lora: LoraSettings,
    /// The list of modules; none where the file has a regular expression or `all-linear`.
    pub(super) modules: Option<Vec<String>>,
    /// The adapted layers, where the file lists them.
    pub(super) layers: Option<Vec<u64>>,
}

impl Config {
    pub(super) fn new(json: &[u8]) -> Result<Self> {
        let fields: Map<String, Value> =
            serde_json::from_slice(json).map_err(|error| LearnerError::file(CONFIG, error))?;
        let field = |name: &str| fields.get(name).unwrap_or(&Value::Null);
        check_kind(field)?;
        let usual = LoraSettings::default();
        // PEFT's own defaults are r 8 and lora_alpha 8.
        let alpha = number("lora_alpha", field("lora_alpha"), 8.0)?;
        let dropout = number("lora_dropout", field("lora_dropout"), 0.0)?;
        let lora = LoraSettings {
            rank: rank(field("r"))?,
            alpha: alpha as f32,
            dropout: dropout as f32,
            scaling: match flag("use_rslora", field("use_rslora"))? {
                true => LoraScaling::RankStabilised,
                false => LoraScaling::Standard,
            },
            ..usual
        };
        let name = field("base_model_name_or_path").as_str();
        Ok(Self {
            base_model: name.map(str::to_owned),
            lora,
            modules: modules(field("target_modules"))?,
            layers: layers(field("layers_to_transform"))?,
        })
    }
}

fn check_kind<'a>(field: impl Fn(&str) -> &'a Value) -> Result<()> {
    let same = |name, expected: &str| match field(name).as_str() {
        Some(got) if got == expected => Ok(()),
        _ => Err(wrong(name, format!("{expected:?}"), field(name))),
    };
    same("peft_type", "LORA")?;
    if !field("bias").is_null() {
        same("bias", "none")?;
    }
    for name in UNSUPPORTED {
        if !is_empty(field(name)) {
            let expected = "none, as plain LoRA alone is supported";
            return Err(wrong(name, expected, field(name)));
        }
    }
    let first = field("init_lora_weights");
    let changes = |kind: &str| CHANGES_THE_BASE.iter().any(|start| kind.starts_with(start));
    if first.as_str().is_some_and(changes) {
        let expected = "a kind that leaves the base model as it is, such as true or \"gaussian\"";
        return Err(wrong("init_lora_weights", expected, first));
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(_) => false,
    }
}

fn rank(value: &Value) -> Result<u32> {
    let whole = match value {
        Value::Null => Some(8),
        value => value.as_u64().and_then(|rank| u32::try_from(rank).ok()),
    };
    whole.ok_or_else(|| wrong("r", "a whole number from 1 to 256", value))
}

fn number(name: &'static str, value: &Value, usual: f64) -> Result<f64> {
    match value {
        Value::Null => Ok(usual),
        value => value.as_f64().ok_or_else(|| wrong(name, "a number", value)),
    }
}

fn flag(name: &'static str, value: &Value) -> Result<bool> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        value => Err(wrong(name, "true or false", value)),
    }
}

fn modules(value: &Value) -> Result<Option<Vec<String>>> {
    let unlike = || wrong("target_modules", "a list of names or a text", value);
    match value {
        Value::Null | Value::String(_) => Ok(None),
        Value::Array(items) => {
            let names = items.iter().map(|item| item.as_str().map(str::to_owned));
            names.collect::<Option<_>>().map(Some).ok_or_else(unlike)
        }
        _ => Err(unlike()),
    }
}

fn layers(value: &Value) -> Result<Option<Vec<u64>>> {
    let numbers = match value {
        Value::Null => return Ok(None),
        Value::Array(items) => items.iter().map(Value::as_u64).collect(),
        value => value.as_u64().map(|layer| vec![layer]),
    };
    let expected = "a layer's number, or a list of them";
    let numbers: Vec<u64> = numbers.ok_or_else(|| wrong("layers_to_transform", expected, value))?;
    // PEFT takes an empty list for all layers.
    Ok(Some(numbers).filter(|numbers| !numbers.is_empty()))
}

fn wrong(field: &'static str, expected: impl ToString, got: &Value) -> LearnerError {
    const SHOWN: usize = 80;
    let mut text = got.to_string();
    if let Some((cut, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(cut);
        text.push('…');
    }
    LearnerError::field(CONFIG, field, expected, text)
}
