//! A loop of nothing but multiplications and additions of vectors in registers: the most that a
//! browser's WebAssembly does on one core.
#![cfg(target_arch = "wasm32")]

use std::arch::wasm32::*;

use wasm_bindgen::prelude::wasm_bindgen;

/// Chains that do not wait for each other: more than the latency of an operation times the
/// number that a core starts in one cycle, and few enough for the registers.
const CHAINS: usize = 12;

/// Floating-point operations of one iteration: a multiplication and an addition in each lane of
/// each chain.
#[wasm_bindgen]
pub fn operations() -> usize {
    CHAINS * 4 * 2
}

/// Does this many iterations; the result is there so that no compiler leaves them out.
#[wasm_bindgen]
#[cfg_attr(feature = "relaxed", target_feature(enable = "relaxed-simd"))]
pub fn run(iterations: u32) -> f32 {
    let (factor, addend) = (f32x4_splat(0.999), f32x4_splat(0.001));
    // From 2 on, because 1 stays 1: the compiler would see it and leave that chain out.
    let mut chains: [v128; CHAINS] = std::array::from_fn(|chain| f32x4_splat(2.0 + chain as f32));
    for _ in 0..iterations {
        for chain in &mut chains {
            *chain = multiply_add(*chain, factor, addend);
        }
    }
    let sum = chains
        .into_iter()
        .fold(f32x4_splat(0.0), |sum, chain| f32x4_add(sum, chain));
    f32x4_extract_lane::<0>(sum)
}

#[cfg(feature = "relaxed")]
#[inline]
#[target_feature(enable = "relaxed-simd")]
fn multiply_add(x: v128, factor: v128, addend: v128) -> v128 {
    f32x4_relaxed_madd(x, factor, addend)
}

#[cfg(not(feature = "relaxed"))]
fn multiply_add(x: v128, factor: v128, addend: v128) -> v128 {
    f32x4_add(f32x4_mul(x, factor), addend)
}
