//! The body that a room's uncompressed updates have, read without parsing its description.
//!
//! Thousands of clients send the same description of the same matrices; parsing it takes a fifth of
//! the time in which an update of 256 KiB is decoded.

use super::body::{self, Type};
use crate::adapter::{Adapter, AdapterLayout, Matrix};

/// Description and shapes of a room's matrices, as [`encode_adapter`](super::encode_adapter)
/// writes them.
#[derive(Clone, Debug)]
pub struct KnownBody {
    layout: AdapterLayout,
    description: Vec<u8>,
    bytes: usize,
}

impl KnownBody {
    /// The body of adapters of this layout.
    pub fn of(layout: AdapterLayout) -> Self {
        let zeros = |(name, &(rows, columns)): (&String, &(usize, usize))| {
            (name.clone(), Matrix::zeros(rows, columns))
        };
        let matrices = layout.shapes.iter().map(zeros).collect();
        let mut description = body::encode_adapter(&Adapter { matrices });
        let bytes = Type::F32.bytes() * layout.parameters();
        // The values come last, in the order of the names.
        description.truncate(description.len() - bytes);
        Self {
            layout,
            description,
            bytes,
        }
    }

    /// The adapter of a body that begins exactly as this one; none for every other body, which
    /// may be as good.
    pub(super) fn decode(&self, body: &[u8]) -> Option<Adapter> {
        let mut values = body.strip_prefix(&self.description[..])?;
        if values.len() != self.bytes {
            return None;
        }
        let matrix = |(name, &(rows, columns)): (&String, &(usize, usize))| {
            let (own, rest) = values.split_at(Type::F32.bytes() * rows * columns);
            values = rest;
            let values = Type::F32.decode(own);
            let matrix = Matrix {
                rows,
                columns,
                values,
            };
            (name.clone(), matrix)
        };
        let matrices = self.layout.shapes.iter().map(matrix).collect();
        Some(Adapter { matrices })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::any_adapter;
    use super::*;
    use crate::codec::{decode_adapter, encode_adapter};

    proptest! {
        #[test]
        fn a_known_body_is_read_as_any_other(adapter in any_adapter()) {
            let known = KnownBody::of(adapter.layout());
            let body = encode_adapter(&adapter);
            prop_assert_eq!(known.decode(&body), Some(adapter));
        }

        #[test]
        fn what_is_read_as_known_is_read_alike_without(
            adapter in any_adapter(), other in any_adapter(), place: prop::sample::Index, value: u8
        ) {
            let known = KnownBody::of(adapter.layout());
            let mut damaged = encode_adapter(&adapter);
            let place = place.index(damaged.len());
            damaged[place] = value;
            for body in [damaged, encode_adapter(&other)] {
                if let Some(read) = known.decode(&body) {
                    // Bit by bit: a damaged value may be no number.
                    let usual = decode_adapter(&body).unwrap();
                    prop_assert_eq!(encode_adapter(&read), encode_adapter(&usual));
                }
                prop_assert!(known.decode(&body[..body.len() - 1]).is_none());
            }
        }
    }
}
