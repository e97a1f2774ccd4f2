//! Adapter state: named f32 matrices, checked where they enter.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A row-major matrix of finite values.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// `rows * columns` values.
    pub values: Vec<f32>,
}

/// The trained state of a federation: matrices by their PEFT names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adapter {
    /// The matrices in the order of their names.
    pub matrices: BTreeMap<String, Matrix>,
}

/// Names and shapes that every adapter of a room has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterLayout {
    /// Rows and columns by name.
    pub shapes: BTreeMap<String, (usize, usize)>,
}

/// Why an adapter is not one of its room's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// A matrix that the layout has and the adapter lacks.
    #[error("matrix {name} is missing")]
    Missing {
        /// The matrix.
        name: String,
    },
    /// A matrix that the layout does not have.
    #[error("matrix {name} is not part of this room's adapter")]
    Unknown {
        /// The matrix.
        name: String,
    },
    /// A matrix of another shape, or whose values do not fill its shape.
    #[error("matrix {name}: expected {} × {}, got {} × {} with {values} values", expected.0, expected.1, got.0, got.1)]
    Shape {
        /// The matrix.
        name: String,
        /// Rows and columns of the layout.
        expected: (usize, usize),
        /// Rows and columns found.
        got: (usize, usize),
        /// Values found.
        values: usize,
    },
    /// A position in a compressed update that is not above the one before or not in the adapter.
    #[error("position {position} of the update's values: expected a whole number from {} to below {}, got {got}", expected.0, expected.1)]
    Index {
        /// Which of the update's positions.
        position: usize,
        /// The least that it may be, and the number of the adapter's values.
        expected: (usize, usize),
        /// The position found, as text.
        got: String,
    },
    /// A value that is infinite or not a number.
    #[error("matrix {name}: value {index} is {value}, expected a finite number")]
    NonFinite {
        /// The matrix.
        name: String,
        /// Position in row-major order.
        index: usize,
        /// The value, as text.
        value: String,
    },
}

impl AdapterLayout {
    /// Number of values in an adapter of this layout.
    pub fn parameters(&self) -> usize {
        self.shapes
            .values()
            .map(|(rows, columns)| rows * columns)
            .sum()
    }

    /// Checks names, shapes and that every value is finite.
    ///
    /// # Errors
    /// The first difference, in the order of the names.
    pub fn check(&self, adapter: &Adapter) -> Result<(), AdapterError> {
        for name in adapter.matrices.keys() {
            if !self.shapes.contains_key(name) {
                return Err(AdapterError::Unknown { name: name.clone() });
            }
        }
        for (name, &expected) in &self.shapes {
            let Some(matrix) = adapter.matrices.get(name) else {
                return Err(AdapterError::Missing { name: name.clone() });
            };
            matrix.check(name, expected)?;
        }
        Ok(())
    }
}

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            rows,
            columns,
            values: vec![0.0; rows * columns],
        }
    }

    fn check(&self, name: &str, expected: (usize, usize)) -> Result<(), AdapterError> {
        let got = (self.rows, self.columns);
        if got != expected || self.values.len() != expected.0 * expected.1 {
            let values = self.values.len();
            return Err(AdapterError::Shape {
                name: name.into(),
                expected,
                got,
                values,
            });
        }
        let Some(index) = not_finite(&self.values) else {
            return Ok(());
        };
        Err(AdapterError::NonFinite {
            name: name.into(),
            index,
            value: self.values[index].to_string(),
        })
    }
}

/// The place of the first value that is infinite or not a number.
fn not_finite(values: &[f32]) -> Option<usize> {
    // Whole blocks without a way out between: the compiler looks at many values at once.
    const BLOCK: usize = 1024;
    let is_bad = |value: &f32| !value.is_finite();
    let bad = |block: &[f32]| block.iter().fold(false, |bad, value| bad | is_bad(value));
    let block = values.chunks(BLOCK).position(bad)? * BLOCK;
    let within = values[block..].iter().position(is_bad)?;
    Some(block + within)
}

impl Adapter {
    /// Names and shapes of this adapter.
    pub fn layout(&self) -> AdapterLayout {
        let shape = |(name, m): (&String, &Matrix)| (name.clone(), (m.rows, m.columns));
        AdapterLayout {
            shapes: self.matrices.iter().map(shape).collect(),
        }
    }

    /// SHA-256 over names, shapes and the little-endian bits of every value, in name order.
    pub fn hash(&self) -> AdapterHash {
        let mut digest = Sha256::new();
        for (name, matrix) in &self.matrices {
            digest.update((name.len() as u64).to_le_bytes());
            digest.update(name.as_bytes());
            digest.update((matrix.rows as u64).to_le_bytes());
            digest.update((matrix.columns as u64).to_le_bytes());
            let mut block = Vec::with_capacity(4096);
            for chunk in matrix.values.chunks(1024) {
                block.clear();
                block.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
                digest.update(&block);
            }
        }
        AdapterHash(digest.finalize().into())
    }
}

/// Identifies an adapter by its content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(
    feature = "openapi",
    derive(utoipa::ToSchema),
    schema(value_type = String)
)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export, type = "string"))]
pub struct AdapterHash(pub [u8; 32]);

impl fmt::Display for AdapterHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AdapterHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AdapterHash({self})")
    }
}

impl From<AdapterHash> for String {
    fn from(hash: AdapterHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for AdapterHash {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for AdapterHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || "expected a hash of 64 hexadecimal digits".to_owned();
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(entries: &[(&str, usize, usize, &[f32])]) -> Adapter {
        let matrix = |&(name, rows, columns, values): &(&str, usize, usize, &[f32])| {
            (
                name.to_owned(),
                Matrix {
                    rows,
                    columns,
                    values: values.to_vec(),
                },
            )
        };
        Adapter {
            matrices: entries.iter().map(matrix).collect(),
        }
    }

    #[test]
    fn layout_accepts_its_own_adapter() {
        let adapter = adapter(&[("a", 1, 2, &[1.0, 2.0]), ("b", 1, 1, &[3.0])]);
        adapter.layout().check(&adapter).unwrap();
        assert_eq!(adapter.layout().parameters(), 3);
    }

    #[test]
    fn each_difference_from_the_layout_is_named() {
        let layout = adapter(&[("a", 1, 2, &[0.0, 0.0])]).layout();
        let check = |entries: &[_]| layout.check(&adapter(entries)).unwrap_err().to_string();
        assert!(check(&[]).contains("a is missing"));
        assert!(check(&[("a", 1, 2, &[0.0, 0.0]), ("z", 1, 1, &[0.0])]).contains("z is not part"));
        assert!(check(&[("a", 2, 1, &[0.0, 0.0])]).contains("expected 1 × 2, got 2 × 1"));
        assert!(check(&[("a", 1, 2, &[0.0])]).contains("1 values"));
        assert!(check(&[("a", 1, 2, &[0.0, f32::NAN])]).contains("value 1 is NaN"));
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        let mut values = vec![1.0; 5000];
        assert_eq!(not_finite(&values), None);
        for place in [4999, 4096, 1024, 1023, 0] {
            values[place] = f32::NEG_INFINITY;
            assert_eq!(not_finite(&values), Some(place));
        }
    }

    #[test]
    fn hash_depends_on_every_part() {
        let base = adapter(&[("a", 1, 2, &[1.0, 2.0])]);
        let others = [
            adapter(&[("b", 1, 2, &[1.0, 2.0])]),
            adapter(&[("a", 2, 1, &[1.0, 2.0])]),
            adapter(&[("a", 1, 2, &[1.0, 2.000_000_2])]),
        ];
        assert_eq!(base.hash(), base.clone().hash());
        assert!(others.iter().all(|other| other.hash() != base.hash()));
    }

    #[test]
    fn hash_survives_text() {
        let hash = adapter(&[("a", 1, 1, &[1.5])]).hash();
        assert_eq!(hash.to_string().parse::<AdapterHash>().unwrap(), hash);
        assert!("zz".parse::<AdapterHash>().is_err());
        assert!("é".repeat(32).parse::<AdapterHash>().is_err());
    }
}
