//! PEFT's `adapter_model.safetensors`: its matrices, held against the base model.

use std::collections::{BTreeMap, BTreeSet};

use fl_core::adapter::{Adapter, Matrix};
use fl_core::settings::LoraTarget;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::config::Config;
use super::{CONFIG, WEIGHTS, hits};
use crate::Result;
use crate::error::LearnerError;
use crate::model::{BaseModel, ProjectionPart};
use crate::weights::to_f32;

/// What PEFT puts before the path of a module.
const PREFIX: &str = "base_model.model.";

/// The targets that the file's matrices are of, in how many of the top layers if not in all, and the
/// matrices.
pub(super) fn read(
    base: &BaseModel,
    config: &Config,
    bytes: &[u8],
) -> Result<(Vec<LoraTarget>, Option<u32>, Adapter)> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| LearnerError::file(WEIGHTS, e))?;
    // In the order of their names, so that of several faults the same one is told.
    let views: BTreeMap<&str, TensorView<'_>> = file.iter().collect();
    let rank = config.lora.rank as usize;
    let mut adapter = Adapter::default();
    for (name, view) in views {
        let (part, side) = place(base, name)?;
        check_listed(config, part)?;
        let (output, input) = part.linear.widths();
        let (index, shape) = match side {
            Side::A => (0, [rank, input]),
            Side::B => (1, [output, rank]),
        };
        let values = values(name, &view, shape)?;
        let [rows, columns] = shape;
        let matrix = Matrix {
            rows,
            columns,
            values,
        };
        let ours = part.lora_names()[index].clone();
        if adapter.matrices.insert(ours, matrix).is_some() {
            return Err(wrong(
                name,
                "each matrix once",
                "it with and without “default”",
            ));
        }
    }
    let lowest = lowest_layer(base, &adapter);
    let targets = targets(base, lowest, &adapter)?;
    let top_layers = (lowest > 0).then(|| (base.layers() - lowest) as u32);
    Ok((targets, top_layers, adapter))
}

/// Which of a module's two matrices.
#[derive(Clone, Copy, Debug)]
enum Side {
    A,
    B,
}

/// The projection that a matrix is for, by its name, with or without PEFT's name of the adapter.
fn place<'b>(base: &'b BaseModel, name: &str) -> Result<(&'b ProjectionPart, Side)> {
    let ends = |side, matrix: &str| {
        let stem = name.strip_suffix(".weight")?;
        let stem = stem.strip_suffix(".default").unwrap_or(stem);
        Some((stem.strip_suffix(matrix)?, side))
    };
    let found = ends(Side::A, ".lora_A").or_else(|| ends(Side::B, ".lora_B"));
    let path = found.and_then(|(stem, side)| Some((stem.strip_prefix(PREFIX)?, side)));
    let Some((path, side)) = path else {
        let expected = format!("a name {PREFIX}….lora_A.weight or ….lora_B.weight");
        return Err(wrong(name, expected, "another"));
    };
    let mut parts = base.parts().projections.iter();
    let part = parts.find(|part| part.path == path && !part.targets.is_empty());
    part.map(|part| (part, side)).ok_or_else(|| {
        let known = base.parts().projections.iter();
        let mut known = known.filter(|part| !part.targets.is_empty());
        let example = known.next().map_or("none", |part| &part.path);
        let expected = format!("a projection in one of the base model's layers, such as {example}");
        wrong(name, expected, "none of them")
    })
}

fn check_listed(config: &Config, part: &ProjectionPart) -> Result<()> {
    let listed = |modules: &Vec<String>| modules.iter().any(|entry| hits(entry, &part.path));
    let layer = part.layer.map(|layer| layer as u64);
    let among = |layers: &Vec<u64>| layer.is_none_or(|layer| layers.contains(&layer));
    if !config.layers.as_ref().is_none_or(among) {
        let expected = format!("the layer of {}, of which there are matrices", part.path);
        let field = "layers_to_transform";
        return Err(LearnerError::field(CONFIG, field, expected, "others"));
    }
    if config.modules.as_ref().is_none_or(listed) {
        return Ok(());
    }
    let expected = format!("an entry for {}, of which there are matrices", part.path);
    Err(LearnerError::field(
        CONFIG,
        "target_modules",
        expected,
        "none",
    ))
}

fn values(name: &str, view: &TensorView<'_>, expected: [usize; 2]) -> Result<Vec<f32>> {
    if view.shape() != expected {
        let got = format!("{:?}", view.shape());
        return Err(wrong(name, format!("shape {expected:?}"), got));
    }
    let Some(values) = to_f32(view) else {
        return Err(wrong(
            name,
            "f32, f16 or bf16",
            format!("{:?}", view.dtype()),
        ));
    };
    match values.iter().find(|value| !value.is_finite()) {
        None => Ok(values),
        Some(value) => Err(wrong(name, "finite values", value)),
    }
}

fn is_found(adapter: &Adapter, part: &ProjectionPart) -> bool {
    let mut names = part.lora_names().into_iter();
    names.any(|name| adapter.matrices.contains_key(&name))
}

/// The lowest layer that has matrices; layers that share weights have them all.
fn lowest_layer(base: &BaseModel, adapter: &Adapter) -> usize {
    if base.shares_layers() {
        return 0;
    }
    let parts = base.parts().projections.iter();
    let found = parts.filter(|part| is_found(adapter, part));
    found.filter_map(|part| part.layer).min().unwrap_or(0)
}

/// The targets that the matrices cover in every layer from `lowest` up; together they must cover all
/// there are.
fn targets(base: &BaseModel, lowest: usize, adapter: &Adapter) -> Result<Vec<LoraTarget>> {
    let parts = base.parts().projections.iter();
    let parts: Vec<&ProjectionPart> = parts
        .filter(|part| part.layer.is_none_or(|layer| layer >= lowest))
        .collect();
    let has = |name: &str| adapter.matrices.contains_key(name);
    let is_found = |part: &&ProjectionPart| is_found(adapter, part);
    let found: Vec<&ProjectionPart> = parts.iter().copied().filter(is_found).collect();
    if found.is_empty() {
        return Err(LearnerError::file(WEIGHTS, "it holds no LoRA matrices"));
    }
    for name in found.iter().flat_map(|part| part.lora_names()) {
        if !has(&name) {
            return Err(wrong(&name, "it beside its other half", "no such matrix"));
        }
    }
    let known: BTreeSet<LoraTarget> = found
        .iter()
        .flat_map(|part| part.targets)
        .copied()
        .collect();
    let of = |target| {
        let parts = parts.iter().copied();
        parts.filter(move |part| part.is_among(&[target]))
    };
    let is_whole = |target: &LoraTarget| of(*target).all(|part| is_found(&part));
    let (whole, partial): (Vec<_>, Vec<_>) = known.into_iter().partition(is_whole);
    let Some(alone) = found.iter().find(|part| !part.is_among(&whole)) else {
        return Ok(whole);
    };
    let mut lacking = partial.iter().flat_map(|target| of(*target));
    let lacking = lacking.find(|part| !is_found(part)).unwrap_or(alone);
    let expected = format!(
        "it as well as {}: a target in every layer, or every one from a layer up",
        alone.path
    );
    Err(wrong(&lacking.lora_names()[0], expected, "no such matrix"))
}

fn wrong(matrix: &str, expected: impl ToString, got: impl ToString) -> LearnerError {
    LearnerError::Matrix {
        file: WEIGHTS,
        matrix: matrix.into(),
        expected: expected.to_string(),
        got: got.to_string(),
    }
}
