//! The right side of a product as the kernel reads it.

use std::ops::Range;

use super::half::Format;
use super::tile::COLUMNS;
use super::{Lie, View, part};

/// A matrix (k, n) in panels of a few columns, each with its rows one after the other; the last
/// panel is filled up with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    rows: usize,
    columns: usize,
    panels: Panels,
}

/// The rows of all panels.
#[derive(Clone, Debug)]
enum Panels {
    Full(Vec<[f32; COLUMNS]>),
    /// In half the memory; a product widens a piece of a panel and uses it for many rows.
    Half(Format, Vec<[u16; COLUMNS]>),
}

impl Packed {
    pub(super) const fn empty() -> Self {
        Self {
            rows: 0,
            columns: 0,
            panels: Panels::Full(Vec::new()),
        }
    }

    pub(crate) fn new(matrix: View<'_>) -> Self {
        let mut packed = Self::empty();
        packed.fill(matrix);
        packed
    }

    /// With values of 16 bits: those of the matrix must be of this format, else they are rounded.
    pub(crate) fn half(matrix: View<'_>, format: Format) -> Self {
        let (mut halves, mut panel) = (Vec::new(), Vec::new());
        halves.reserve_exact(matrix.rows * matrix.columns.div_ceil(COLUMNS));
        for first in (0..matrix.columns).step_by(COLUMNS) {
            panel.clear();
            pack(matrix, first, &mut panel);
            halves.extend(
                panel
                    .iter()
                    .map(|row| row.map(|value| format.narrow(value))),
            );
        }
        Self {
            rows: matrix.rows,
            columns: matrix.columns,
            panels: Panels::Half(format, halves),
        }
    }

    /// Packs another matrix into the same memory.
    pub(super) fn fill(&mut self, matrix: View<'_>) {
        (self.rows, self.columns) = (matrix.rows, matrix.columns);
        let mut values = match std::mem::replace(&mut self.panels, Panels::Full(Vec::new())) {
            Panels::Full(values) => values,
            Panels::Half(..) => Vec::new(),
        };
        values.clear();
        values.reserve(self.rows * self.panels());
        for first in (0..matrix.columns).step_by(COLUMNS) {
            pack(matrix, first, &mut values);
        }
        self.panels = Panels::Full(values);
    }

    /// The matrix again, column after column.
    pub(crate) fn columns_in_turn(&self) -> Vec<f32> {
        let (mut values, mut wide) = (Vec::with_capacity(self.rows * self.columns), Vec::new());
        for first in (0..self.columns).step_by(COLUMNS) {
            let panel = self.panel(first / COLUMNS, 0..self.rows, &mut wide);
            for column in 0..COLUMNS.min(self.columns - first) {
                values.extend(panel.iter().map(|row| row[column]));
            }
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

    /// These rows of a panel; `wide` is where they are widened to if they must be.
    #[inline(always)]
    pub(super) fn panel<'a>(
        &'a self,
        index: usize,
        rows: Range<usize>,
        wide: &'a mut Vec<[f32; COLUMNS]>,
    ) -> &'a [[f32; COLUMNS]] {
        let first = index * self.rows;
        let places = first + rows.start..first + rows.end;
        match &self.panels {
            Panels::Full(values) => &values[places],
            Panels::Half(format, halves) => {
                format.widen(&halves[places], wide);
                wide
            }
        }
    }
}

/// Appends the rows of the panel that begins with the column `first`.
fn pack(matrix: View<'_>, first: usize, panel: &mut Vec<[f32; COLUMNS]>) {
    let count = COLUMNS.min(matrix.columns - first);
    match matrix.lie {
        Lie::ByRows(stride) => panel.extend(
            (0..matrix.rows).map(|row| part(&matrix.values[row * stride + first..][..count])),
        ),
        Lie::ByColumns(stride) => {
            let columns: [&[f32]; COLUMNS] = std::array::from_fn(|index| {
                let start = (first + index.min(count - 1)) * stride;
                &matrix.values[start..start + matrix.rows]
            });
            let kept: [f32; COLUMNS] =
                std::array::from_fn(|index| f32::from(u8::from(index < count)));
            panel.extend(
                (0..matrix.rows)
                    .map(|row| std::array::from_fn(|index| columns[index][row] * kept[index])),
            );
        }
    }
}
