//! A loop of nothing but multiplications and additions of vectors in registers: the most that a
//! browser's WebAssembly does on one core, in f32 or in int8.
#![cfg(target_arch = "wasm32")]

use std::arch::wasm32::*;
use std::hint::black_box;

use wasm_bindgen::prelude::wasm_bindgen;

/// Chains that do not wait for each other: more than the latency of an operation times the
/// number that a core starts in one cycle, and few enough for the registers.
const CHAINS: usize = 12;

/// Operations of one iteration, in all lanes of all chains.
#[wasm_bindgen]
pub fn operations() -> usize {
    let of_one = match (cfg!(feature = "int8"), cfg!(feature = "relaxed")) {
        (true, _) => 2 * 16,
        (false, true) => 2 * 4,
        (false, false) => 4,
    };
    CHAINS * of_one
}

/// Does this many iterations; the result is there so that no compiler leaves them out.
#[wasm_bindgen]
#[cfg_attr(feature = "relaxed", target_feature(enable = "relaxed-simd"))]
pub fn run(iterations: u32) -> f32 {
    // Values that change nothing much, which the compiler must not know.
    let [factor, addend] = [1.0, 0.001].map(|value| f32x4_splat(black_box(value)));
    let mut chains: [v128; CHAINS] = std::array::from_fn(|chain| f32x4_splat(2.0 + chain as f32));
    for _ in 0..iterations {
        for (chain, value) in chains.iter_mut().enumerate() {
            *value = step(chain, *value, factor, addend);
        }
    }
    let sum = chains
        .into_iter()
        .fold(f32x4_splat(0.0), |sum, chain| f32x4_add(sum, chain));
    f32x4_extract_lane::<0>(sum)
}

/// Sixteen products of a byte and a byte of seven bits, four each added to a lane.
#[cfg(feature = "int8")]
#[inline]
#[target_feature(enable = "relaxed-simd")]
fn step(_: usize, x: v128, factor: v128, addend: v128) -> v128 {
    i32x4_relaxed_dot_i8x16_i7x16_add(factor, addend, x)
}

#[cfg(all(feature = "relaxed", not(feature = "int8")))]
#[inline]
#[target_feature(enable = "relaxed-simd")]
fn step(_: usize, x: v128, factor: v128, addend: v128) -> v128 {
    f32x4_relaxed_madd(x, factor, addend)
}

/// Multiplications and additions in chains of their own: one that does both in turn waits twice as
/// long for itself, and registers do not last for twice the chains.
#[cfg(not(feature = "relaxed"))]
fn step(chain: usize, x: v128, factor: v128, addend: v128) -> v128 {
    match chain % 2 {
        0 => f32x4_mul(x, factor),
        _ => f32x4_add(x, addend),
    }
}
