//! Updates in fewer bytes: what a client sends is its change of the global adapter, rounded or
//! thinned out.
//!
//! A compressed update is a safetensors body like any other, whose matrices have other types:
//!
//! | | matrices of the body | bytes for n values in m rows |
//! |---|---|---|
//! | `f32` | the adapter itself, f32 | 4·n |
//! | `f16` | the change, f16 | 2·n |
//! | `int8` | the change, i8, and `NAME.scale`, f32, one a row | n + 4·m |
//! | `top_k` | `indices`, u32, and `values`, f32, one row of k each | 8·k |

pub(crate) mod half;
mod int8;
mod top_k;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::adapter::{Adapter, AdapterError, AdapterLayout, Matrix};
use crate::codec::{Tensor, Type};
use crate::error::SettingsError;

/// How a client's update travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Compression {
    /// As it is.
    #[default]
    F32,
    /// Its change in half precision: 1/2 of the bytes, an error of 1/2048 of each value or of 3e-8
    /// at most; values beyond 65,504 are cut to that.
    F16,
    /// Its change in 8 bits with a scale a row: about 1/4 of the bytes, an error of 1/254 of the
    /// row's largest value at most.
    Int8,
    /// The largest values of its change, over all matrices; what was left out is added to the next
    /// change (error feedback: Stich et al. 2018, arXiv 1809.07599).
    TopK {
        /// Share of the values sent. Above 0, at most 0.5, where it needs as many bytes as all.
        share: f32,
    },
}

/// What a client has left out so far, by matrix; it begins empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Feedback {
    left_out: Adapter,
}

impl Feedback {
    /// Feedback as [`Self::left_out`] gave it.
    pub fn of(left_out: Adapter) -> Self {
        Self { left_out }
    }

    /// What was left out so far.
    pub fn left_out(&self) -> &Adapter {
        &self.left_out
    }
}

/// The matrices of a compressed update's body.
pub type Packed = BTreeMap<String, Tensor>;

impl Compression {
    /// Checks every field against its documented range.
    ///
    /// # Errors
    /// The first field out of range, as `compression.` and its name.
    pub fn check(self) -> Result<(), SettingsError> {
        match self {
            Self::TopK { share } if !(share > 0.0 && share <= 0.5) => Err(SettingsError::new(
                "compression.share",
                "above 0, at most 0.5",
                share.to_string(),
            )),
            _ => Ok(()),
        }
    }

    /// Bytes of an update's values, without names and headers.
    pub fn bytes(self, layout: &AdapterLayout) -> usize {
        let values = layout.parameters();
        let rows: usize = layout.shapes.values().map(|(rows, _)| rows).sum();
        match self {
            Self::F32 => 4 * values,
            Self::F16 => 2 * values,
            Self::Int8 => values + 4 * rows,
            Self::TopK { share } => 8 * top_k::count(share, values),
        }
    }

    /// Packs an update that was trained from `base`, of the same layout.
    ///
    /// The second value is what [`Self::TopK`] has left out when this update counts; if it does
    /// not, the first `feedback` goes on.
    pub fn packed(
        self,
        update: &Adapter,
        base: &Adapter,
        feedback: &Feedback,
    ) -> (Packed, Feedback) {
        let tensor = |kind, matrix| Tensor { kind, matrix };
        match self {
            Self::F32 => {
                let entry = |(name, matrix): (&String, &Matrix)| {
                    (name.clone(), tensor(Type::F32, matrix.clone()))
                };
                (
                    update.matrices.iter().map(entry).collect(),
                    feedback.clone(),
                )
            }
            Self::F16 => {
                let change = combined(update, base, |new, old| new - old);
                let entry = |(name, matrix)| (name, tensor(Type::F16, matrix));
                let packed = change.matrices.into_iter().map(entry).collect();
                (packed, feedback.clone())
            }
            Self::Int8 => {
                let change = combined(update, base, |new, old| new - old);
                (int8::packed(&change), feedback.clone())
            }
            Self::TopK { share } => {
                let change = combined(update, base, |new, old| new - old);
                let wanted = combined(&change, &feedback.left_out, |new, left| new + left);
                let (packed, rest) = top_k::packed(share, wanted);
                let mut left_out = feedback.left_out.clone();
                left_out.matrices.extend(rest.matrices);
                (packed, Feedback { left_out })
            }
        }
    }

    /// The update that the decoded matrices of a body stand for, trained from `base`.
    ///
    /// # Errors
    /// The first matrix that is missing, unknown, of another shape, or an index out of order.
    /// Values are not checked: [`AdapterLayout::check`] does that.
    pub fn restored<'a>(
        self,
        body: &'a Adapter,
        base: &Adapter,
    ) -> Result<Cow<'a, Adapter>, AdapterError> {
        let change = match self {
            Self::F32 => return Ok(Cow::Borrowed(body)),
            Self::F16 => {
                base.layout().check(body)?;
                Cow::Borrowed(body)
            }
            Self::Int8 => Cow::Owned(int8::restored(body, &base.layout())?),
            Self::TopK { .. } => Cow::Owned(top_k::restored(body, &base.layout())?),
        };
        Ok(Cow::Owned(combined(&change, base, |new, old| new + old)))
    }
}

/// Value by value; a value that `other` lacks is 0.
fn combined(one: &Adapter, other: &Adapter, with: impl Fn(f32, f32) -> f32) -> Adapter {
    let mut made = one.clone();
    for (name, matrix) in &mut made.matrices {
        let Some(other) = other.matrices.get(name) else {
            continue;
        };
        for (value, &other) in matrix.values.iter_mut().zip(&other.values) {
            *value = with(*value, other);
        }
    }
    made
}

#[cfg(test)]
mod tests;
