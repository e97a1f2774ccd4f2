//! LoRA matrices (Hu et al. 2021): their PEFT names, first values, and the projections with them.

use candle_core::{Device, Tensor, Var};
use fl_core::adapter::{Adapter, AdapterLayout, Matrix};
use fl_core::random::{Purpose, generator};
use fl_core::settings::{LoraSettings, LoraTarget};
use rand::RngExt as _;

use crate::Result;
use crate::model::BaseModel;
use crate::ops::{FrozenLinear, LoraLinear};

/// The projections of one layer that LoRA can adapt.
#[derive(Clone, Debug)]
pub(crate) struct Adapted {
    pub(crate) query: Projection,
    pub(crate) value: Projection,
}

/// A projection of the self-attention.
#[derive(Clone, Debug)]
pub(crate) enum Projection {
    /// Not adapted, or with the adapter merged into it.
    Frozen(FrozenLinear),
    /// With the matrices beside it, for training.
    Lora {
        frozen: FrozenLinear,
        scale: f32,
        a: Tensor,
        b: Tensor,
    },
}

impl Projection {
    /// (N, H) -> (N, H)
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Frozen(linear) => linear.forward(x)?,
            Self::Lora {
                frozen,
                scale,
                a,
                b,
            } => LoraLinear::forward(frozen, *scale, x, a, b)?,
        })
    }
}

/// The two names under which PEFT keeps the matrices of one projection: A and B.
fn names(layer: usize, target: LoraTarget) -> [String; 2] {
    let target = match target {
        LoraTarget::Query => "query",
        LoraTarget::Value => "value",
    };
    ["lora_A", "lora_B"].map(|matrix| {
        format!(
            "base_model.model.bert.encoder.layer.{layer}.attention.self.{target}.{matrix}.weight"
        )
    })
}

/// Names and shapes: A (rank, hidden) and B (hidden, rank) of every target in every layer.
pub(crate) fn layout(base: &BaseModel, lora: &LoraSettings) -> AdapterLayout {
    let (rank, hidden) = (lora.rank as usize, base.hidden());
    let mut layout = AdapterLayout::default();
    for layer in 0..base.layers() {
        for &target in &lora.targets {
            let [a, b] = names(layer, target);
            layout.shapes.insert(a, (rank, hidden));
            layout.shapes.insert(b, (hidden, rank));
        }
    }
    layout
}

/// A by Kaiming's uniform rule with a = √5, which is U(−1/√in, 1/√in), and B zero, as PEFT does:
/// the adapted model starts equal to the base.
pub(crate) fn initial(layout: &AdapterLayout, seed: u32) -> Adapter {
    let mut rng = generator(seed, Purpose::Initialisation, 0);
    let mut matrix = |(name, &(rows, columns)): (&String, &(usize, usize))| {
        let mut matrix = Matrix::zeros(rows, columns);
        if name.ends_with("lora_A.weight") {
            let bound = 1.0 / (columns as f32).sqrt();
            for value in &mut matrix.values {
                *value = (rng.random::<f32>() * 2.0 - 1.0) * bound;
            }
        }
        (name.clone(), matrix)
    };
    Adapter {
        matrices: layout.shapes.iter().map(&mut matrix).collect(),
    }
}

/// Every layer's projections with the adapter merged: W + (alpha / rank) · B · A.
pub(crate) fn merged(
    base: &BaseModel,
    lora: &LoraSettings,
    adapter: &Adapter,
) -> Result<Vec<Adapted>> {
    projections(base, lora, |frozen, names| {
        let [a, b] = names.map(|name| tensor(&adapter.matrices[&name]));
        let delta = (b?.matmul(&a?)? * f64::from(lora.scale()))?;
        Ok(Projection::Frozen(frozen.plus(&delta)?))
    })
}

/// Projections with the adapter beside them, and its matrices in the order of their names.
pub(crate) struct Trainable {
    pub(crate) adapted: Vec<Adapted>,
    pub(crate) variables: Vec<(String, Var)>,
}

/// Every layer's projections with the adapter beside them as variables.
pub(crate) fn trainable(
    base: &BaseModel,
    lora: &LoraSettings,
    adapter: &Adapter,
) -> Result<Trainable> {
    let mut variables = Vec::new();
    let adapted = projections(base, lora, |frozen, names| {
        let [a, b] = names.map(|name| -> Result<Tensor> {
            let variable = Var::from_tensor(&tensor(&adapter.matrices[&name])?)?;
            let tensor = variable.as_tensor().clone();
            variables.push((name, variable));
            Ok(tensor)
        });
        Ok(Projection::Lora {
            frozen: frozen.clone(),
            scale: lora.scale(),
            a: a?,
            b: b?,
        })
    })?;
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Trainable { adapted, variables })
}

fn projections(
    base: &BaseModel,
    lora: &LoraSettings,
    mut adapt: impl FnMut(&FrozenLinear, [String; 2]) -> Result<Projection>,
) -> Result<Vec<Adapted>> {
    let mut projection = |index, target, frozen: &FrozenLinear| match lora.targets.contains(&target)
    {
        true => adapt(frozen, names(index, target)),
        false => Ok(Projection::Frozen(frozen.clone())),
    };
    (0..base.layers())
        .map(|index| {
            let layer = base.layer(index);
            Ok(Adapted {
                query: projection(index, LoraTarget::Query, &layer.query)?,
                value: projection(index, LoraTarget::Value, &layer.value)?,
            })
        })
        .collect()
}

fn tensor(matrix: &Matrix) -> Result<Tensor> {
    let shape = (matrix.rows, matrix.columns);
    Ok(Tensor::from_vec(
        matrix.values.clone(),
        shape,
        &Device::Cpu,
    )?)
}
