//! Random numbers of the usual distributions that are the same on every machine.
//!
//! The standard library's `ln` and `exp` are the platform's and differ in their last bit, which
//! could move a text to another client in a tab than on a server. These use only operations that
//! IEEE 754 defines to the bit: + − × ÷ √.

use std::f64::consts::{LN_2, SQRT_2};

use rand::Rng;
use rand::RngExt as _;

/// The natural logarithm of a positive, normal number, within 1e-15 or so.
pub(super) fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i64 - 1023;
    let mut mantissa = f64::from_bits(bits & MANTISSA | 1023 << 52);
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2·artanh(t) with t = (m − 1)/(m + 1), |t| ≤ 0.172.
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let mut sum = 0.0;
    for odd in (1..=25).rev().step_by(2) {
        sum = sum * square + 1.0 / f64::from(odd);
    }
    2.0 * t * sum + exponent as f64 * LN_2
}

/// e^x, within 1e-14 of it or so; 0 below −700 and the value at 700 above it.
pub(super) fn exp(x: f64) -> f64 {
    if x < -700.0 {
        return 0.0;
    }
    let x = x.min(700.0);
    let power = (x / LN_2).round();
    let rest = x - power * LN_2;
    let mut sum = 1.0;
    for n in (1..=18).rev() {
        sum = 1.0 + sum * rest / f64::from(n);
    }
    sum * f64::from_bits(((power as i64 + 1023) as u64) << 52)
}

/// A number above 0, at most 1.
fn open(rng: &mut impl Rng) -> f64 {
    rng.random::<f64>() + f64::EPSILON / 4.0
}

/// The standard normal distribution (Marsaglia's polar method).
pub(super) fn normal(rng: &mut impl Rng) -> f64 {
    loop {
        let (x, y) = (open(rng) * 2.0 - 1.0, open(rng) * 2.0 - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * ln(square) / square).sqrt();
        }
    }
}

/// The logarithm of a number from the gamma distribution of this shape (Marsaglia and Tsang
/// 2000). As a logarithm, because a small shape gives numbers far below the smallest f64.
fn ln_gamma_sample(shape: f64, rng: &mut impl Rng) -> f64 {
    if shape < 1.0 {
        return ln_gamma_sample(shape + 1.0, rng) + ln(open(rng)) / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = (9.0 * d).sqrt().recip();
    loop {
        let x = normal(rng);
        let root = 1.0 + c * x;
        if root <= 0.0 {
            continue;
        }
        let v = root * root * root;
        if ln(open(rng)) < 0.5 * x * x + d - d * v + d * ln(v) {
            return ln(d) + ln(v);
        }
    }
}

/// Shares that sum to one, from Dir(parameters); a parameter of 0 gives a share of 0.
pub(super) fn dirichlet(parameters: &[f64], rng: &mut impl Rng) -> Vec<f64> {
    let sample = |&parameter: &f64| match parameter > 0.0 {
        true => ln_gamma_sample(parameter, rng),
        false => f64::NEG_INFINITY,
    };
    let logs: Vec<f64> = parameters.iter().map(sample).collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logs.iter().map(|log| exp(log - most)).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// `total` divided in proportion to the weights by largest remainders; of equals the first.
///
/// Without any weight every place counts the same.
pub(super) fn apportion(total: usize, weights: &[f64]) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    let even = weights.len().max(1) as f64;
    let quota = |&weight: &f64| match sum > 0.0 {
        true => total as f64 * (weight / sum),
        false => total as f64 / even,
    };
    let quotas: Vec<f64> = weights.iter().map(quota).collect();
    let mut parts: Vec<usize> = quotas.iter().map(|quota| *quota as usize).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&a, &b| quotas[b].fract().total_cmp(&quotas[a].fract()));
    let missing = total.saturating_sub(parts.iter().sum());
    for &place in order.iter().cycle().take(missing) {
        parts[place] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::{Purpose, generator};

    proptest! {
        #[test]
        fn logarithm_and_power_are_the_librarys(x in 1e-300f64..1e300, y in -690f64..690.0) {
            prop_assert!((ln(x) - x.ln()).abs() <= 1e-14 * x.ln().abs().max(1.0));
            prop_assert!((exp(y) - y.exp()).abs() <= 1e-12 * y.exp());
        }

        #[test]
        fn parts_sum_to_the_total(total in 0usize..500, weights in prop::collection::vec(0f64..9.0, 1..20)) {
            let parts = apportion(total, &weights);
            prop_assert_eq!(parts.iter().sum::<usize>(), total);
            let sum: f64 = weights.iter().sum();
            prop_assume!(sum > 0.0);
            for (part, weight) in parts.iter().zip(weights) {
                prop_assert!((*part as f64 - total as f64 * weight / sum).abs() < 1.000_001);
            }
        }

        #[test]
        fn shares_sum_to_one(seed: u32, parameters in prop::collection::vec(1e-3f64..1e3, 1..10)) {
            let mut rng = generator(seed, Purpose::Partition, 0);
            let shares = dirichlet(&parameters, &mut rng);
            prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(shares.iter().all(|share| *share >= 0.0));
        }
    }

    #[test]
    fn shares_have_the_distributions_mean_and_variance() {
        let mut rng = generator(1, Purpose::Partition, 0);
        for scale in [0.1, 1.0, 20.0] {
            let parameters = [scale, 3.0 * scale];
            let samples: Vec<f64> = (0..4000)
                .map(|_| dirichlet(&parameters, &mut rng)[0])
                .collect();
            let mean = samples.iter().sum::<f64>() / 4000.0;
            let variance = samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / 4000.0;
            // Beta(a, b): a/(a + b), and ab/((a + b)²(a + b + 1)).
            let expected = 0.25 * 0.75 / (4.0 * scale + 1.0);
            assert!(
                (mean - 0.25).abs() < 4.0 * (expected / 4000.0).sqrt(),
                "{scale}: {mean}"
            );
            assert!(
                (variance / expected - 1.0).abs() < 0.15,
                "{scale}: {variance}"
            );
        }
    }

    #[test]
    fn shares_are_the_same_everywhere() {
        // To the bit: these are what this code gives on x86-64 Linux.
        let mut rng = generator(7, Purpose::Partition, 0);
        let bits: Vec<u64> = dirichlet(&[0.3, 2.0], &mut rng)
            .iter()
            .map(|s| s.to_bits())
            .collect();
        assert_eq!(bits, [0x3fc6_2e08_cdd4_bd99, 0x3fea_747d_cc8a_d09a]);
    }
}
