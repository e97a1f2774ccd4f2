//! exp and erf in plain arithmetic that the compiler turns into SIMD on every target.

/// The work, compiled for the widest SIMD that this processor has. Only what is inlined into the
/// closure is; sums keep their order, so results are the same everywhere.
///
/// In WebAssembly the width is the build's: there pulp would add code in relaxed SIMD, and a
/// browser without it refuses the whole module, whether that code would run or not.
#[inline(always)]
pub(super) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_family = "wasm")]
    return work();
    #[cfg(not(target_family = "wasm"))]
    pulp::Arch::new().dispatch(work)
}

/// e^x to about two units in the last place; 0 below −87.3, e^88 above 88.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Cody and Waite: x = n ln 2 + r, |r| ≤ ln 2 / 2, then a polynomial for e^r (the minimax
    // coefficients of Cephes' expf) and 2^n put straight into the exponent's bits.
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer
    let clamped = x.clamp(-87.3, 88.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_65;
    let p = p * r + 0.5;
    let power = p * r * r + r + 1.0;
    let exponent = (shifted.to_bits() << 23).wrapping_add(0x3f80_0000);
    let result = power * f32::from_bits(exponent);
    if x < -87.3 { 0.0 } else { result }
}

/// Φ(x), the standard normal distribution, and e^(−x²/2), which it is made of.
///
/// For x ≥ 0, 1 − Φ(x) = e^(−x²/2) · t · p(t) with t = 1 / (1 + 0.3 x), the form of Abramowitz and
/// Stegun 7.1.26; p is fitted to 5e-8 for x up to 9, beyond which f32 has no difference. The error
/// of Φ is below 2.5e-7.
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    let t = 1.0 / (1.0 + 0.3 * x.abs());
    let p = 0.037_535_988;
    let p = p * t - 0.165_020_9;
    let p = p * t + 0.219_973_53;
    let p = p * t - 0.066_404_87;
    let p = p * t + 0.135_421_48;
    let p = p * t + 0.097_783_51;
    let p = p * t + 0.121_105_775;
    let p = p * t + 0.119_605_49;
    let bell = exp(-0.5 * x * x);
    let tail = p * t * bell;
    let distribution = if x < 0.0 { tail } else { 1.0 - tail };
    (distribution, bell)
}

/// Σ f(i) for i below `count`, in eight running sums, which the compiler can turn into SIMD and
/// which lose less than one sum would.
#[inline(always)]
pub(super) fn total(count: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0.0f32; 8];
    let whole = count / 8 * 8;
    for start in (0..whole).step_by(8) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += f(start + lane);
        }
    }
    sums.iter().sum::<f32>() + (whole..count).map(f).sum::<f32>()
}

/// The largest value, −∞ of none; NaN counts as nothing.
#[inline(always)]
pub(super) fn most(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; 8];
    let (whole, rest) = values.as_chunks::<8>();
    for chunk in whole {
        for (most, value) in lanes.iter_mut().zip(chunk) {
            *most = larger(*most, *value);
        }
    }
    let lanes = lanes.into_iter().chain(rest.iter().copied());
    lanes.fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_three_units_in_the_last_place() {
        for step in -870..=880 {
            let x = step as f32 * 0.1 + 0.0137;
            let expected = f64::from(x.clamp(-87.3, 88.0)).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(x < -87.3 || error < 3.6e-7, "exp({x}): {error:e}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn normal_is_within_a_millionth_of_erf() {
        for step in -1200..=1200 {
            let x = step as f32 * 0.01;
            let erf = candle_core::cpu::erf::erf_f64(f64::from(x) / std::f64::consts::SQRT_2);
            let expected = 0.5 * (1.0 + erf);
            let got = f64::from(normal(x).0);
            assert!((got - expected).abs() < 2.5e-7, "{x}: {got} {expected}");
            assert!((f64::from(x) * (got - expected)).abs() < 4e-7, "gelu({x})");
        }
    }
}
