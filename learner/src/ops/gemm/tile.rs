//! A tile of a product, held in registers.

use super::Out;

/// What a kernel of this processor is run on.
pub(super) trait Work {
    fn run(self, kernel: impl Kernel);
}

/// The inner loop.
pub(super) trait Kernel: Copy {
    /// sums += Σ l ⊗ r over the pairs of `left` and `right`, in the first `columns` at least of
    /// [`ROWS`] rows of [`COLUMNS`] sums.
    fn add(
        self,
        left: impl Iterator<Item = [f32; ROWS]> + Clone,
        right: &[[f32; COLUMNS]],
        columns: usize,
        sums: Out<'_>,
    );
}

#[cfg(target_arch = "wasm32")]
pub(super) use browser::{COLUMNS, in_registers};
#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::{COLUMNS, in_registers};
pub(super) use rows::{ROWS, zipped};

/// Where a multiplication and an addition are one instruction: six rows of two vectors make 12
/// sums, and a vector of each side at hand; V8 has 15 registers.
#[cfg(any(not(target_arch = "wasm32"), target_feature = "relaxed-simd"))]
mod rows {
    pub(in super::super) const ROWS: usize = 6;

    #[inline(always)]
    pub(in super::super) fn zipped(
        rows: [&[f32]; ROWS],
    ) -> impl Iterator<Item = [f32; ROWS]> + Clone {
        let [a, b, c, d, e, f] = rows;
        let rows = a.iter().zip(b).zip(c).zip(d).zip(e).zip(f);
        rows.map(|(((((a, b), c), d), e), f)| [*a, *b, *c, *d, *e, *f])
    }
}

/// Products need registers of their own where they are added by another instruction.
#[cfg(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")))]
mod rows {
    pub(in super::super) const ROWS: usize = 4;

    #[inline(always)]
    pub(in super::super) fn zipped(
        rows: [&[f32]; ROWS],
    ) -> impl Iterator<Item = [f32; ROWS]> + Clone {
        let [a, b, c, d] = rows;
        let rows = a.iter().zip(b).zip(c).zip(d);
        rows.map(|(((a, b), c), d)| [*a, *b, *c, *d])
    }
}

#[cfg(target_arch = "wasm32")]
mod browser {
    use std::arch::wasm32::*;
    use std::array::from_fn;

    use super::{Kernel, Out, ROWS, Work};

    const VECTORS: usize = 2;
    pub(in super::super) const COLUMNS: usize = VECTORS * 4;

    #[inline(always)]
    pub(in super::super) fn in_registers(work: impl Work) {
        work.run(Simd);
    }

    #[derive(Clone, Copy)]
    struct Simd;

    impl Kernel for Simd {
        #[inline(always)]
        fn add(
            self,
            left: impl Iterator<Item = [f32; ROWS]> + Clone,
            right: &[[f32; COLUMNS]],
            columns: usize,
            sums: Out<'_>,
        ) {
            match columns > COLUMNS / 2 {
                true => vectors::<VECTORS>(left, right, sums),
                false => vectors::<{ VECTORS / 2 }>(left, right, sums),
            }
        }
    }

    /// The first `N` vectors of every row.
    ///
    /// A function of its own: inside a large one Firefox does not keep the sums in registers, and
    /// products run at half the speed.
    #[inline(never)]
    fn vectors<const N: usize>(
        left: impl Iterator<Item = [f32; ROWS]>,
        right: &[[f32; COLUMNS]],
        Out { values, stride }: Out<'_>,
    ) {
        let of = |row: &[f32]| -> [v128; N] { from_fn(|index| load(row, 4 * index)) };
        let mut sums: [[v128; N]; ROWS] = from_fn(|row| of(&values[row * stride..][..COLUMNS]));
        for (left, right) in left.zip(right) {
            let right = of(right);
            for (sums, left) in sums.iter_mut().zip(left) {
                let left = f32x4_splat(left);
                *sums = from_fn(|index| fused(left, right[index], sums[index]));
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            let row = &mut values[row * stride..][..COLUMNS];
            for (index, vector) in sums.into_iter().enumerate() {
                row[4 * index..4 * index + 4].copy_from_slice(&lanes(vector));
            }
        }
    }

    /// a · b + c, in one instruction where the build has relaxed SIMD.
    #[inline(always)]
    fn fused(a: v128, b: v128, c: v128) -> v128 {
        #[cfg(target_feature = "relaxed-simd")]
        return f32x4_relaxed_madd(a, b, c);
        #[cfg(not(target_feature = "relaxed-simd"))]
        f32x4_add(c, f32x4_mul(a, b))
    }

    #[inline(always)]
    fn load(row: &[f32], at: usize) -> v128 {
        f32x4(row[at], row[at + 1], row[at + 2], row[at + 3])
    }

    #[inline(always)]
    fn lanes(vector: v128) -> [f32; 4] {
        [
            f32x4_extract_lane::<0>(vector),
            f32x4_extract_lane::<1>(vector),
            f32x4_extract_lane::<2>(vector),
            f32x4_extract_lane::<3>(vector),
        ]
    }
}

/// 32 columns, two vectors of each row at a time.
#[cfg(not(target_arch = "wasm32"))]
mod native {
    use pulp::{Arch, Simd, WithSimd};

    use super::{Kernel, Out, ROWS, Work};

    pub(in super::super) const COLUMNS: usize = 32;

    #[inline(always)]
    pub(in super::super) fn in_registers(work: impl Work) {
        Arch::new().dispatch(Dispatched(work));
    }

    struct Dispatched<W>(W);

    impl<W: Work> WithSimd for Dispatched<W> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            self.0.run(Vectors(simd));
        }
    }

    #[derive(Clone, Copy)]
    struct Vectors<S>(S);

    impl<S: Simd> Kernel for Vectors<S> {
        #[inline(always)]
        fn add(
            self,
            left: impl Iterator<Item = [f32; ROWS]> + Clone,
            right: &[[f32; COLUMNS]],
            columns: usize,
            mut sums: Out<'_>,
        ) {
            for first in (0..columns.div_ceil(S::F32_LANES)).step_by(2) {
                pair(self.0, left.clone(), right, first, &mut sums);
            }
        }
    }

    /// The vectors `first` and `first + 1` of every row.
    #[inline(always)]
    fn pair<S: Simd>(
        simd: S,
        left: impl Iterator<Item = [f32; ROWS]>,
        right: &[[f32; COLUMNS]],
        first: usize,
        Out { values, stride }: &mut Out<'_>,
    ) {
        let of = |row: &[f32]| {
            let (vectors, _) = S::as_simd_f32s(row);
            [vectors[first], vectors[first + 1]]
        };
        let at = |row: usize| of(&values[row * *stride..][..COLUMNS]);
        let mut sums = [at(0), at(1), at(2), at(3), at(4), at(5)];
        for (left, right) in left.zip(right) {
            let [low, high] = of(right);
            for (sums, left) in sums.iter_mut().zip(left) {
                let left = simd.splat_f32s(left);
                sums[0] = simd.mul_add_f32s(left, low, sums[0]);
                sums[1] = simd.mul_add_f32s(left, high, sums[1]);
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            let row = &mut values[row * *stride..][..COLUMNS];
            let (vectors, _) = S::as_mut_simd_f32s(row);
            [vectors[first], vectors[first + 1]] = sums;
        }
    }
}
