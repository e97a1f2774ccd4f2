//! The right side of a product as the kernel reads it.

use super::tile::COLUMNS;
use super::{Lie, View, part};

/// A matrix (k, n) in panels of a few columns, each with its rows one after the other; the last
/// panel is filled up with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    rows: usize,
    columns: usize,
    values: Vec<[f32; COLUMNS]>,
}

impl Packed {
    pub(super) const fn empty() -> Self {
        Self {
            rows: 0,
            columns: 0,
            values: Vec::new(),
        }
    }

    pub(crate) fn new(matrix: View<'_>) -> Self {
        let mut packed = Self::empty();
        packed.fill(matrix);
        packed
    }

    /// Packs another matrix into the same memory.
    pub(super) fn fill(&mut self, matrix: View<'_>) {
        (self.rows, self.columns) = (matrix.rows, matrix.columns);
        self.values.clear();
        self.values.reserve(self.rows * self.panels());
        for first in (0..matrix.columns).step_by(COLUMNS) {
            let count = COLUMNS.min(matrix.columns - first);
            match matrix.lie {
                Lie::ByRows(stride) => self.values.extend(
                    (0..matrix.rows)
                        .map(|row| part(&matrix.values[row * stride + first..][..count])),
                ),
                Lie::ByColumns(stride) => {
                    let columns: [&[f32]; COLUMNS] = std::array::from_fn(|index| {
                        let start = (first + index.min(count - 1)) * stride;
                        &matrix.values[start..start + matrix.rows]
                    });
                    let kept: [f32; COLUMNS] =
                        std::array::from_fn(|index| f32::from(u8::from(index < count)));
                    self.values.extend(
                        (0..matrix.rows).map(|row| {
                            std::array::from_fn(|index| columns[index][row] * kept[index])
                        }),
                    );
                }
            }
        }
    }

    /// The matrix again, column after column.
    pub(crate) fn columns_in_turn(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.rows * self.columns);
        for column in 0..self.columns {
            let panel = self.panel(column / COLUMNS).iter();
            values.extend(panel.map(|row| row[column % COLUMNS]));
        }
        values
    }

    /// The inner dimension.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn panels(&self) -> usize {
        self.columns.div_ceil(COLUMNS)
    }

    pub(super) fn panel(&self, index: usize) -> &[[f32; COLUMNS]] {
        &self.values[index * self.rows..(index + 1) * self.rows]
    }
}
