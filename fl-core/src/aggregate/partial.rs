//! A part of one round's updates, brought together by another process, and its bytes on the way.
//!
//! Sums travel in f64, as they are kept; updates that a rule holds travel one by one. So merging
//! changes nothing but the order of a sum's terms.

use std::collections::{BTreeMap, BTreeSet};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::mean::WeightedMean;
use super::{AggregateError, Aggregator, Sum, Update};
use crate::adapter::{Adapter, AdapterLayout, Matrix};
use crate::codec::CodecError;
use crate::protocol::ClientId;

const WHOSE: &str = "whose";
const WEIGHTS: &str = "weights";
const HELD: &str = "held";
const HELD_WEIGHTS: &str = "held weights";
/// Most sums that a rule keeps.
const SUMS: usize = 2;

/// What a process has of one round's updates.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// The round.
    pub round: u32,
    /// The attempt at it.
    pub attempt: u32,
    /// The clients whose updates it has, in ascending order.
    pub clients: Vec<ClientId>,
    sums: Vec<WeightedMean>,
    held: Vec<Update>,
}

impl Aggregator {
    /// What was added so far: the updates of these clients.
    pub fn partial(&self, round: u32, attempt: u32, clients: Vec<ClientId>) -> Partial {
        let sums = match &self.sum {
            Sum::None => Vec::new(),
            Sum::Mean(sum) => vec![sum.clone()],
            Sum::HetLora(sum) => sum.sums().map(WeightedMean::clone).into(),
        };
        Partial {
            round,
            attempt,
            clients,
            sums,
            held: self.held.clone(),
        }
    }

    /// Adds what another aggregator of the same room and round has.
    ///
    /// # Errors
    /// When it is of another layout or rule, has values that are not finite, or more updates than
    /// may be held. Nothing is added then.
    pub fn merge(&mut self, partial: Partial) -> Result<(), AggregateError> {
        for sum in &partial.sums {
            let (layout, sums, weight) = sum.parts();
            if *layout != self.layout {
                return Err(AggregateError::Partial("its matrices are others"));
            }
            let mut values = sums.iter().flatten();
            if !(values.all(|value| value.is_finite()) && weight.is_finite() && weight >= 0.0) {
                return Err(AggregateError::Partial("it is not finite"));
            }
        }
        let bytes = self.bytes_with(&partial)?;
        match (&mut self.sum, &partial.sums[..]) {
            (Sum::None, []) => {}
            (Sum::Mean(sum), [other]) => sum.merge(other),
            (Sum::HetLora(sum), [by_norm, by_count]) => sum.merge(by_norm, by_count),
            _ => return Err(AggregateError::Partial("it is of another rule")),
        }
        self.bytes = bytes;
        for update in partial.held {
            let place = self
                .held
                .partition_point(|held| held.client <= update.client);
            self.held.insert(place, update);
        }
        Ok(())
    }

    /// The bytes held with those of a partial sum, whose updates are checked.
    fn bytes_with(&self, partial: &Partial) -> Result<u64, AggregateError> {
        let mut bytes = self.bytes;
        let mut known: BTreeSet<ClientId> = self.held.iter().map(|held| held.client).collect();
        for update in &partial.held {
            self.check(&update.adapter)?;
            if !(update.weight.is_finite() && update.weight > 0.0) {
                return Err(AggregateError::Weight(update.weight));
            }
            let of_it = partial.clients.binary_search(&update.client).is_ok();
            if !of_it || !known.insert(update.client) {
                return Err(AggregateError::Partial("it holds another client's update"));
            }
            bytes = self.room_beside(bytes, &update.adapter)?;
        }
        Ok(bytes)
    }
}

impl Partial {
    /// A safetensors file.
    pub fn encode(&self) -> Vec<u8> {
        let mut file = File::default();
        let ids = self.clients.iter().map(|id| id.0);
        file.numbers(WHOSE, [self.round, self.attempt].into_iter().chain(ids));
        let weights = self.sums.iter().map(|sum| sum.parts().2);
        file.precise(WEIGHTS.into(), None, weights);
        for (index, sum) in self.sums.iter().enumerate() {
            let (layout, sums, _) = sum.parts();
            for ((name, shape), values) in layout.shapes.iter().zip(sums) {
                let name = format!("{index}/{name}");
                file.precise(name, Some(*shape), values.iter().copied());
            }
        }
        file.numbers(HELD, self.held.iter().map(|update| update.client.0));
        let weights = self.held.iter().map(|update| update.weight);
        file.precise(HELD_WEIGHTS.into(), None, weights);
        for (index, update) in self.held.iter().enumerate() {
            for (name, matrix) in &update.adapter.matrices {
                file.matrix(format!("{HELD}{index}/{name}"), matrix);
            }
        }
        file.written()
    }

    /// Reads what [`Self::encode`] wrote, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`CodecError`] when it is something else.
    pub fn decode(bytes: &[u8], limit: usize) -> Result<Self, CodecError> {
        if bytes.len() > limit {
            let (what, got) = ("partial sum", bytes.len());
            return Err(CodecError::Oversized { what, limit, got });
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| body(error.to_string()))?;
        let whose = numbers(&tensors, WHOSE)?;
        let [round, attempt, clients @ ..] = &whose[..] else {
            return Err(body("the round is missing"));
        };
        let weights = precise(&tensors, WEIGHTS)?;
        let held = numbers(&tensors, HELD)?;
        let held_weights = precise(&tensors, HELD_WEIGHTS)?;
        if weights.len() > SUMS || held.len() != held_weights.len() {
            return Err(body("weights and sums are not as many"));
        }
        let mut sums = vec![BTreeMap::new(); weights.len()];
        let mut adapters = vec![Adapter::default(); held.len()];
        for (name, view) in tensors.iter() {
            let Some((place, name)) = name.split_once('/') else {
                continue;
            };
            let &[rows, columns] = view.shape() else {
                return Err(body("a tensor is no matrix"));
            };
            let adapter = place
                .strip_prefix(HELD)
                .and_then(|index| index.parse().ok());
            let adapter = adapter.and_then(|index: usize| adapters.get_mut(index));
            let sum = place.parse().ok();
            let sum = sum.and_then(|index: usize| sums.get_mut(index));
            match (view.dtype(), adapter, sum) {
                (Dtype::F32, Some(adapter), _) => {
                    let values = chunks(view.data()).map(f32::from_le_bytes).collect();
                    let matrix = Matrix {
                        rows,
                        columns,
                        values,
                    };
                    adapter.matrices.insert(name.into(), matrix);
                }
                (Dtype::F64, _, Some(sum)) => {
                    let values = chunks(view.data()).map(f64::from_le_bytes);
                    sum.insert(name.to_owned(), ((rows, columns), values.collect()));
                }
                _ => return Err(body("a tensor belongs to no sum and no update")),
            }
        }
        let held = held.iter().zip(held_weights).zip(adapters);
        Ok(Self {
            round: *round,
            attempt: *attempt,
            clients: clients.iter().copied().map(ClientId).collect(),
            sums: sums.into_iter().zip(weights).map(sum).collect(),
            held: held
                .map(|((&client, weight), adapter)| Update {
                    client: ClientId(client),
                    adapter,
                    weight,
                })
                .collect(),
        })
    }
}

/// Shape and sum by name.
type Sums = BTreeMap<String, ((usize, usize), Vec<f64>)>;

fn sum((matrices, weight): (Sums, f64)) -> WeightedMean {
    let (mut layout, mut sums) = (AdapterLayout::default(), Vec::new());
    for (name, (shape, values)) in matrices {
        layout.shapes.insert(name, shape);
        sums.push(values);
    }
    WeightedMean::from_parts(layout, sums, weight)
}

fn body(error: impl Into<String>) -> CodecError {
    CodecError::Body(error.into())
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

fn tensor<'a>(tensors: &SafeTensors<'a>, name: &str, dtype: Dtype) -> Result<&'a [u8], CodecError> {
    let view = tensors
        .tensor(name)
        .map_err(|error| body(error.to_string()))?;
    match view.dtype() == dtype {
        true => Ok(view.data()),
        false => Err(body(format!("{name} is not of {dtype:?}"))),
    }
}

fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Result<Vec<u32>, CodecError> {
    let bytes = tensor(tensors, name, Dtype::U32)?;
    Ok(chunks(bytes).map(u32::from_le_bytes).collect())
}

fn precise(tensors: &SafeTensors<'_>, name: &str) -> Result<Vec<f64>, CodecError> {
    let bytes = tensor(tensors, name, Dtype::F64)?;
    Ok(chunks(bytes).map(f64::from_le_bytes).collect())
}

/// A safetensors file that is being written.
#[derive(Default)]
struct File(Vec<(String, Dtype, Vec<usize>, Vec<u8>)>);

impl File {
    fn numbers(&mut self, name: &str, values: impl Iterator<Item = u32>) {
        let bytes: Vec<u8> = values.flat_map(u32::to_le_bytes).collect();
        let shape = vec![bytes.len() / 4];
        self.0.push((name.into(), Dtype::U32, shape, bytes));
    }

    /// Values of this shape, or as many as there are.
    fn precise(
        &mut self,
        name: String,
        shape: Option<(usize, usize)>,
        values: impl Iterator<Item = f64>,
    ) {
        let bytes: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
        let shape = shape.map_or(vec![bytes.len() / 8], |(rows, columns)| vec![rows, columns]);
        self.0.push((name, Dtype::F64, shape, bytes));
    }

    fn matrix(&mut self, name: String, matrix: &Matrix) {
        let bytes = matrix.values.iter().flat_map(|value| value.to_le_bytes());
        let shape = vec![matrix.rows, matrix.columns];
        self.0.push((name, Dtype::F32, shape, bytes.collect()));
    }

    fn written(&self) -> Vec<u8> {
        let views = self.0.iter().filter_map(|(name, dtype, shape, bytes)| {
            // A view fails only when bytes and shape disagree.
            let view = TensorView::new(*dtype, shape.clone(), bytes).ok()?;
            Some((name, view))
        });
        safetensors::serialize(views, None).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
