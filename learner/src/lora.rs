//! LoRA matrices (Hu et al. 2021): their layout, first values, and the model with them.

use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use fl_core::adapter::{Adapter, AdapterLayout, Matrix};
use fl_core::random::{Purpose, generator};
use fl_core::settings::LoraSettings;
use rand::RngExt as _;

use crate::Result;
use crate::dropout::{Dropout, Masking};
use crate::model::{Active, BaseModel, Projection, ProjectionPart};
use crate::tuning::{Rows, Variable};

/// Names and shapes: A (rank, in) and B (out, rank) of every adapted projection.
pub(crate) fn layout(base: &BaseModel, lora: &LoraSettings) -> AdapterLayout {
    let rank = lora.rank as usize;
    let mut layout = AdapterLayout::default();
    for part in &base.parts().projections {
        if base.adapts(lora, part) {
            let (output, input) = part.linear.widths();
            let [a, b] = part.lora_names();
            layout.shapes.insert(a, (rank, input));
            layout.shapes.insert(b, (output, rank));
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

/// The model with the adapter merged into it: W + scale · B · A.
pub(crate) fn merged(base: &BaseModel, lora: &LoraSettings, adapter: &Adapter) -> Result<Active> {
    adapted(base, lora, |part| {
        let [a, b] = part
            .lora_names()
            .map(|name| tensor(&adapter.matrices[&name]));
        let delta = (b?.matmul(&a?)? * f64::from(lora.scale()))?;
        Ok(Projection::Frozen(part.linear.plus(&delta)?))
    })
}

/// The model with the adapter's matrices beside its projections as variables, and with dropout
/// before A where `masking` says which.
pub(crate) fn trainable(
    base: &BaseModel,
    lora: &LoraSettings,
    adapter: &Adapter,
    masking: Option<Masking>,
) -> Result<(Active, Vec<Variable>)> {
    let masking = masking.filter(|_| lora.dropout > 0.0);
    let dropout = masking.map(|masking| Arc::new(Dropout::new(lora.dropout, masking)));
    let mut variables = Vec::new();
    let active = adapted(base, lora, |part| {
        let [a, b] = part.lora_names().map(|name| -> Result<Tensor> {
            let variable = Var::from_tensor(&tensor(&adapter.matrices[&name])?)?;
            let tensor = variable.as_tensor().clone();
            variables.push(Variable {
                name,
                variable,
                rows: Rows::All,
            });
            Ok(tensor)
        });
        Ok(Projection::Lora {
            frozen: part.linear.clone(),
            scale: lora.scale(),
            a: a?,
            b: b?,
            dropout: dropout.clone(),
        })
    })?;
    Ok((active, variables))
}

/// The model with its target projections as `adapt` makes them.
fn adapted(
    base: &BaseModel,
    lora: &LoraSettings,
    mut adapt: impl FnMut(&ProjectionPart) -> Result<Projection>,
) -> Result<Active> {
    Active::new(base.parts(), base.decoder(), |part| {
        match base.adapts(lora, part) {
            true => adapt(part),
            false => Ok(Projection::Frozen(part.linear.clone())),
        }
    })
}

fn tensor(matrix: &Matrix) -> Result<Tensor> {
    let shape = (matrix.rows, matrix.columns);
    Ok(Tensor::from_vec(
        matrix.values.clone(),
        shape,
        &Device::Cpu,
    )?)
}
