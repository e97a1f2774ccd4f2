//! Training of every parameter: their names and first values, and the model made of them.
//!
//! The trained state is an [`Adapter`] that holds each parameter of the base model under its
//! Hugging Face name, vectors as one row; tied weights are there once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use fl_core::adapter::{Adapter, AdapterLayout, Matrix};

use crate::Result;
use crate::error::LearnerError;
use crate::model::{
    Active, BaseModel, Decoder, Norm, NormPart, Projection, ProjectionPart, Source, Table,
    TablePart,
};
use crate::ops::{FrozenLinear, LayerNormWeights};
use crate::tuning::{Rows, Variable};

/// Refuses a model with layers that have no bias: none is kept for them.
pub(crate) fn check(base: &BaseModel) -> Result<()> {
    let mut parts = base.parts().projections.iter();
    match parts.find(|part| part.linear.bias().is_empty()) {
        None => Ok(()),
        Some(part) => {
            let got = format!("{} without one", part.path);
            let what = "full-parameter training";
            Err(LearnerError::argument(what, "a bias in every layer", got))
        }
    }
}

/// Names and shapes of every parameter.
pub(crate) fn layout(base: &BaseModel) -> AdapterLayout {
    let mut layout = AdapterLayout::default();
    let mut add = |name, shape| layout.shapes.insert(name, shape);
    for part in &base.parts().projections {
        let (output, input) = part.linear.widths();
        add(weight(&part.path), (output, input));
        add(bias(&part.path), (1, output));
    }
    for part in &base.parts().norms {
        let width = part.weights.weight().len();
        add(weight(&part.path), (1, width));
        add(bias(&part.path), (1, width));
    }
    for part in &base.parts().tables {
        let dims = part.rows.dims();
        add(weight(&part.path), (dims[0], dims[1]));
    }
    let decoder = base.decoder();
    add(decoder.bias_name.clone(), (1, decoder.bias.elem_count()));
    layout
}

/// The base model's own values.
pub(crate) fn initial(base: &BaseModel) -> Adapter {
    let mut values: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for part in &base.parts().projections {
        values.insert(weight(&part.path), part.linear.weight());
        values.insert(bias(&part.path), part.linear.bias().to_vec());
    }
    for part in &base.parts().norms {
        values.insert(weight(&part.path), part.weights.weight().to_vec());
        values.insert(bias(&part.path), part.weights.bias().to_vec());
    }
    for part in &base.parts().tables {
        values.insert(weight(&part.path), list(&part.rows));
    }
    let decoder = base.decoder();
    values.insert(decoder.bias_name.clone(), list(&decoder.bias));
    let shapes = layout(base).shapes;
    let matrix = |(name, values)| {
        let (rows, columns) = shapes[&name];
        let matrix = Matrix {
            rows,
            columns,
            values,
        };
        (name, matrix)
    };
    Adapter {
        matrices: values.into_iter().map(matrix).collect(),
    }
}

/// The values of a base model's tensor, which is f32 in main memory and thus always readable.
fn list(tensor: &Tensor) -> Vec<f32> {
    let values = tensor.flatten_all().and_then(|tensor| tensor.to_vec1());
    values.unwrap_or_default()
}

/// The model with the values of `adapter`, frozen.
pub(crate) fn frozen(base: &BaseModel, adapter: &Adapter) -> Result<Active> {
    Active::made(base.parts(), base.decoder(), &mut Frozen(adapter))
}

/// The model with the values of `adapter` as variables; of the words, those with ids in `used`.
pub(crate) fn trainable(
    base: &BaseModel,
    adapter: &Adapter,
    used: BTreeSet<u32>,
) -> Result<(Active, Vec<Variable>)> {
    let places = (0..).zip(&used).map(|(place, &id)| (id, place));
    let mut source = Trained {
        adapter,
        words: weight(&base.words().path),
        decoder: weight(&base.decoder_rows().path),
        places: Arc::new(places.collect()),
        used: used.into_iter().collect(),
        variables: Vec::new(),
    };
    let active = Active::made(base.parts(), base.decoder(), &mut source)?;
    Ok((active, source.variables))
}

fn weight(path: &str) -> String {
    format!("{path}.weight")
}

fn bias(path: &str) -> String {
    format!("{path}.bias")
}

/// Makes frozen parts of an adapter's values.
struct Frozen<'a>(&'a Adapter);

impl Frozen<'_> {
    fn matrix(&self, name: &str) -> &Matrix {
        &self.0.matrices[name]
    }

    fn list(&self, name: &str) -> Vec<f32> {
        self.matrix(name).values.clone()
    }

    fn tensor(&self, name: &str) -> Result<Tensor> {
        let matrix = self.matrix(name);
        let shape = (matrix.rows, matrix.columns);
        Ok(Tensor::from_slice(&matrix.values, shape, &Device::Cpu)?)
    }
}

impl Source for Frozen<'_> {
    fn projection(&mut self, part: &ProjectionPart) -> Result<Projection> {
        let weight = self.matrix(&weight(&part.path));
        let shape = [weight.rows, weight.columns];
        let bias = self.list(&bias(&part.path));
        let linear = FrozenLinear::new(&weight.values, shape, bias);
        Ok(Projection::Frozen(linear))
    }

    fn norm(&mut self, part: &NormPart) -> Result<Norm> {
        let [weight, bias] = [weight, bias].map(|name| self.list(&name(&part.path)));
        let epsilon = part.weights.epsilon();
        Ok(Norm::Frozen(LayerNormWeights::new(weight, bias, epsilon)))
    }

    fn table(&mut self, part: &TablePart) -> Result<Table> {
        self.tensor(&weight(&part.path)).map(Table::Whole)
    }

    fn decoder_bias(&mut self, decoder: &Decoder) -> Result<Table> {
        let values = self.list(&decoder.bias_name);
        let shape = (values.len(), 1);
        Ok(Table::Whole(Tensor::from_vec(values, shape, &Device::Cpu)?))
    }
}

/// Makes variables of an adapter's values.
struct Trained<'a> {
    adapter: &'a Adapter,
    /// The tables with a row a word, of which only some rows are used: embeddings and decoder.
    words: String,
    decoder: String,
    /// The ids of those rows, in order, and the place of each.
    used: Vec<u32>,
    places: Arc<BTreeMap<u32, u32>>,
    variables: Vec<Variable>,
}

impl Trained<'_> {
    fn whole(&mut self, name: String) -> Result<Tensor> {
        let matrix = &self.adapter.matrices[&name];
        let shape = (matrix.rows, matrix.columns);
        let variable = Var::from_slice(&matrix.values, shape, &Device::Cpu)?;
        Ok(self.keep(name, variable, Rows::All))
    }

    /// The used rows of a matrix that is read as rows of `width` values.
    fn part(&mut self, name: String, width: usize) -> Result<Table> {
        let all = &self.adapter.matrices[&name].values;
        let rows = self.used.iter().map(|&id| id as usize * width);
        let rows: Vec<f32> = rows
            .flat_map(|start| &all[start..start + width])
            .copied()
            .collect();
        let variable = Var::from_vec(rows, (self.used.len(), width), &Device::Cpu)?;
        let ids = self.used.clone();
        Ok(Table::Part {
            rows: self.keep(name, variable, Rows::Some { ids, width }),
            places: Arc::clone(&self.places),
        })
    }

    fn keep(&mut self, name: String, variable: Var, rows: Rows) -> Tensor {
        let tensor = variable.as_tensor().clone();
        self.variables.push(Variable {
            name,
            variable,
            rows,
        });
        tensor
    }
}

impl Source for Trained<'_> {
    fn projection(&mut self, part: &ProjectionPart) -> Result<Projection> {
        Ok(Projection::Trained {
            weight: self.whole(weight(&part.path))?,
            bias: self.whole(bias(&part.path))?,
        })
    }

    fn norm(&mut self, part: &NormPart) -> Result<Norm> {
        Ok(Norm::Trained {
            weight: self.whole(weight(&part.path))?,
            bias: self.whole(bias(&part.path))?,
            epsilon: part.weights.epsilon(),
        })
    }

    fn table(&mut self, part: &TablePart) -> Result<Table> {
        let name = weight(&part.path);
        if name == self.words || name == self.decoder {
            return self.part(name, part.rows.dims()[1]);
        }
        self.whole(name).map(Table::Whole)
    }

    fn decoder_bias(&mut self, decoder: &Decoder) -> Result<Table> {
        self.part(decoder.bias_name.clone(), 1)
    }
}
