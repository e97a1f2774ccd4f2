//! Products of f32 matrices: the engine's inner loop.
//!
//! The right side is packed into panels first, which frozen weights are once and for all; the left
//! side is read where it lies. A tile of the result stays in registers while the inner dimension
//! passes (Goto and van de Geijn 2008, doi 10.1145/1356052.1356053).

mod half;
mod packed;
mod tile;

use std::cell::{Cell, RefCell};
use std::ops::Range;

pub(crate) use self::half::Format;
pub(crate) use packed::Packed;
use tile::{COLUMNS, Kernel, ROWS, in_registers};

/// Inner dimension of one pass: a panel of it stays in the first cache, with the rows it meets.
const DEPTH: usize = 512;

/// Rows of the left side that meet one panel after the other: they stay in the second cache.
const GROUP: usize = 144;

const _: () = assert!(GROUP.is_multiple_of(ROWS));

/// A matrix in a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// From the first entry to the last, or further.
    values: &'a [f32],
    rows: usize,
    columns: usize,
    lie: Lie,
}

/// How a matrix lies in memory: the distance from one row, or column, to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    ByRows(usize),
    ByColumns(usize),
}

impl<'a> View<'a> {
    /// (rows, columns), row after row.
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// (rows, columns), with `stride` values from one row to the next.
    pub(crate) fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        Self {
            values,
            rows,
            columns,
            lie: Lie::ByRows(stride),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// The same values as (columns, rows).
    pub(crate) fn transposed(self) -> Self {
        let lie = match self.lie {
            Lie::ByRows(stride) => Lie::ByColumns(stride),
            Lie::ByColumns(stride) => Lie::ByRows(stride),
        };
        Self {
            rows: self.columns,
            columns: self.rows,
            lie,
            ..self
        }
    }
}

/// Where a product is written: into the first values of rows that are `stride` values apart.
#[derive(Debug)]
pub(crate) struct Out<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
}

impl Out<'_> {
    /// The tile whose first value is that of `row` and `column`.
    #[inline(always)]
    fn tile(&mut self, row: usize, column: usize) -> Out<'_> {
        Out {
            values: &mut self.values[row * self.stride + column..],
            stride: self.stride,
        }
    }

    /// Makes every row of a tile this one.
    #[inline(always)]
    fn fill(&mut self, row: &[f32; COLUMNS]) {
        for index in 0..ROWS {
            self.values[index * self.stride..][..COLUMNS].copy_from_slice(row);
        }
    }
}

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    Zero,
    /// One value a column, the same for every row.
    Bias(&'a [f32]),
    /// What is there.
    Sum,
}

/// Memory that products use again.
#[derive(Default)]
struct Scratch {
    /// A left side that lies by columns, as a tile reads it.
    turned: Vec<[f32; ROWS]>,
    /// A piece of a panel of 16-bit numbers, widened.
    wide: Vec<[f32; COLUMNS]>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = const {
        Cell::new(Scratch { turned: Vec::new(), wide: Vec::new() })
    };
    /// A right side that is used once.
    static PANELS: RefCell<Packed> = const { RefCell::new(Packed::empty()) };
}

/// `left` (m, k) times `right` (k, n), packed for this once.
pub(crate) fn multiply(left: View<'_>, right: View<'_>, out: Out<'_>, start: Start<'_>) {
    PANELS.with_borrow_mut(|panels| {
        panels.fill(right);
        multiply_packed(left, panels, out, start);
    });
}

/// `left` (m, k) times `right` (k, n), added to `start`, into `out` (m, n).
///
/// # Panics
/// When the inner dimensions differ or `out` is too short: callers have checked their tensors.
pub(crate) fn multiply_packed(left: View<'_>, right: &Packed, out: Out<'_>, start: Start<'_>) {
    assert_eq!(left.columns, right.rows(), "inner dimensions");
    // Taken out here: behind a closure of the library's the kernel would not be compiled for the
    // processor's vectors.
    let mut scratch = SCRATCH.take();
    in_registers(Product {
        left,
        right,
        out,
        start,
        scratch: &mut scratch,
    });
    SCRATCH.set(scratch);
}

struct Product<'a> {
    left: View<'a>,
    right: &'a Packed,
    out: Out<'a>,
    start: Start<'a>,
    scratch: &'a mut Scratch,
}

/// One pass over a part of the inner dimension, for a group of rows.
struct Pass<'a> {
    left: View<'a>,
    right: &'a Packed,
    depth: Range<usize>,
    start: Start<'a>,
}

impl tile::Work for Product<'_> {
    #[inline(always)]
    fn run(self, kernel: impl Kernel) {
        let Self {
            left,
            right,
            mut out,
            start,
            scratch,
        } = self;
        let inner = left.columns;
        let mut from = 0;
        // Once at least, so that an inner dimension of 0 gives the start.
        loop {
            let to = inner.min(from + DEPTH);
            let pass = Pass {
                left,
                right,
                depth: from..to,
                start: if from == 0 { start } else { Start::Sum },
            };
            for first in (0..left.rows).step_by(GROUP) {
                let rows = first..left.rows.min(first + GROUP);
                pass.group(rows, &mut out, scratch, kernel);
            }
            from = to;
            if from == inner {
                return;
            }
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn group(
        &self,
        rows: Range<usize>,
        out: &mut Out<'_>,
        Scratch { turned, wide }: &mut Scratch,
        kernel: impl Kernel,
    ) {
        match self.left.lie {
            Lie::ByRows(stride) => {
                for panel in 0..self.right.panels() {
                    let right = self.right.panel(panel, self.depth.clone(), wide);
                    for first in rows.clone().step_by(ROWS) {
                        let count = ROWS.min(rows.end - first);
                        let slices = self.slices(first, count, stride);
                        self.tile(
                            panel,
                            first..first + count,
                            out,
                            #[inline(always)]
                            |columns, sums| {
                                kernel.add(tile::zipped(slices), right, columns, sums);
                            },
                        );
                    }
                }
            }
            Lie::ByColumns(stride) => {
                for first in rows.clone().step_by(ROWS) {
                    let count = ROWS.min(rows.end - first);
                    self.turn(first, count, stride, turned);
                    for panel in 0..self.right.panels() {
                        let right = self.right.panel(panel, self.depth.clone(), wide);
                        self.tile(
                            panel,
                            first..first + count,
                            out,
                            #[inline(always)]
                            |columns, sums| {
                                kernel.add(turned.iter().copied(), right, columns, sums);
                            },
                        );
                    }
                }
            }
        }
    }

    /// The rows from `first` on; the last of `count` stands for those that are not there.
    #[inline(always)]
    fn slices(&self, first: usize, count: usize, stride: usize) -> [&[f32]; ROWS] {
        std::array::from_fn(|index| {
            let start = (first + index.min(count - 1)) * stride;
            &self.left.values[start + self.depth.start..start + self.depth.end]
        })
    }

    /// Columns of memory from `first` on as rows, with zeros for those beyond `count`.
    #[inline(always)]
    fn turn(&self, first: usize, count: usize, stride: usize, turned: &mut Vec<[f32; ROWS]>) {
        turned.clear();
        turned.extend(
            self.depth
                .clone()
                .map(|place| part(&self.left.values[place * stride + first..][..count])),
        );
    }

    /// One tile of the result: what it starts with, and what `add` adds.
    #[inline(always)]
    fn tile(
        &self,
        panel: usize,
        rows: Range<usize>,
        out: &mut Out<'_>,
        add: impl FnOnce(usize, Out<'_>),
    ) {
        let column = panel * COLUMNS;
        let columns = COLUMNS.min(self.right.columns() - column);
        if rows.len() == ROWS && columns == COLUMNS {
            let mut sums = out.tile(rows.start, column);
            match self.start {
                Start::Zero => sums.fill(&[0.0; COLUMNS]),
                Start::Bias(bias) => sums.fill(&part(&bias[column..])),
                Start::Sum => {}
            }
            add(columns, sums);
        } else {
            self.edge(
                rows,
                column..column + columns,
                out,
                #[inline(always)]
                |sums| add(columns, sums),
            );
        }
    }

    /// A tile at the edge of the result, in memory of its own.
    #[inline(always)]
    fn edge(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        out: &mut Out<'_>,
        add: impl FnOnce(Out<'_>),
    ) {
        let mut tile = match self.start {
            Start::Bias(bias) => [part(&bias[columns.clone()]); ROWS],
            Start::Zero | Start::Sum => [[0.0; COLUMNS]; ROWS],
        };
        let places = rows.map(|row| row * out.stride + columns.start);
        if matches!(self.start, Start::Sum) {
            for (row, place) in tile.iter_mut().zip(places.clone()) {
                *row = part(&out.values[place..place + columns.len()]);
            }
        }
        add(Out {
            values: tile.as_flattened_mut(),
            stride: COLUMNS,
        });
        for (row, place) in tile.iter().zip(places) {
            let values = &mut out.values[place..place + columns.len()];
            match values.first_chunk_mut() {
                Some(whole) => *whole = *row,
                None => copy(row, values),
            }
        }
    }
}

/// At most `N` values, and zeros where there are fewer.
#[inline(always)]
fn part<const N: usize>(values: &[f32]) -> [f32; N] {
    match values.first_chunk() {
        Some(whole) => *whole,
        None => {
            let mut part = [0.0; N];
            copy(values, &mut part);
            part
        }
    }
}

/// Out of line: else the compiler makes one copy of unknown length of this and of the copies of
/// whole rows, which a browser carries out by a call for each.
#[cold]
#[inline(never)]
fn copy(from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests;
