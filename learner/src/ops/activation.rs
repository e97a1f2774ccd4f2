//! The activations of feed-forward networks and heads, plain and gated.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::math::{exp, normal, vectorised};
use super::{output, values, with_values};

/// An activation function, each entry by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x · Φ(x), by the error function to 4e-7 (Hendrycks and Gimpel 2016).
    Gelu,
    /// The same with Φ(x) taken as (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
    GeluTanh,
    /// max(x, 0)
    Relu,
    /// x · σ(x) (Elfwing et al. 2017).
    Silu,
}

/// `$body` with a constant for the activation: only a loop without a branch over it becomes SIMD.
macro_rules! known {
    ($activation:expr, $known:ident => $body:expr) => {
        known!($activation, $known => $body; Gelu, GeluTanh, Relu, Silu)
    };
    ($activation:expr, $known:ident => $body:expr; $($name:ident),+) => {
        match $activation {
            $(Activation::$name => {
                const $known: Activation = Activation::$name;
                $body
            })+
        }
    };
}

impl Activation {
    /// (N, H) -> (N, H)
    pub(crate) fn forward(self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1(self)
    }

    /// The activation of the first half of each row, times the second half (Shazeer 2020).
    ///
    /// # Shapes
    /// (N, 2H) -> (N, H)
    pub(crate) fn gated(self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1(Gated(self))
    }

    /// f(x) in place of every x.
    pub(super) fn apply(self, values: &mut [f32]) {
        known!(self, KNOWN => vectorised(
            #[inline(always)]
            || {
                for x in values {
                    *x = KNOWN.both(*x).0;
                }
            }
        ));
    }

    /// f(x) in place of every x, and f'(x): the two have most of their work in common.
    pub(super) fn apply_with_slopes(self, values: &mut [f32]) -> Vec<f32> {
        let mut slopes = vec![0.0; values.len()];
        known!(self, KNOWN => vectorised(
            #[inline(always)]
            || {
                for (x, slope) in values.iter_mut().zip(&mut slopes) {
                    (*x, *slope) = KNOWN.both(*x);
                }
            }
        ));
        slopes
    }

    /// f(x) and f'(x)
    #[inline(always)]
    fn both(self, x: f32) -> (f32, f32) {
        const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
        // With s = σ(u(x)): (x s)' = s + x s (1 − s) u'(x).
        let swished = |u: f32, du: f32| {
            let s = logistic(u);
            (x * s, s + x * s * (1.0 - s) * du)
        };
        match self {
            Self::Gelu => {
                let (distribution, bell) = normal(x);
                (x * distribution, distribution + x * bell * FRAC_1_SQRT_2PI)
            }
            Self::GeluTanh => {
                let (u, du) = tanh_gelu(x);
                swished(u, du)
            }
            Self::Relu => (x.max(0.0), f32::from(u8::from(x > 0.0))),
            Self::Silu => swished(x, 1.0),
        }
    }
}

/// 1 / (1 + e^−u)
#[inline(always)]
fn logistic(u: f32) -> f32 {
    1.0 / (1.0 + exp(-u))
}

/// u with (1 + tanh(u/2)) / 2 = σ(u) for GELU's tanh form, and its derivative.
#[inline(always)]
fn tanh_gelu(x: f32) -> (f32, f32) {
    const SCALE: f32 = 1.595_769; // 2 √(2/π)
    const CUBE: f32 = 0.044_715;
    // σ(u) is 0 or 1 beyond, and the cube would overflow.
    let x = x.clamp(-10.0, 10.0);
    let square = x * x;
    (
        SCALE * x * (1.0 + CUBE * square),
        SCALE * (1.0 + 3.0 * CUBE * square),
    )
}

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = values(storage, layout)?.to_vec();
        self.apply(&mut y);
        Ok(output(y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = with_values(x, |x| Ok(x.to_vec()))?;
        with_values(gradient, |dy| {
            known!(self, KNOWN => vectorised(
                #[inline(always)]
                || {
                    for (x, &dy) in dx.iter_mut().zip(dy) {
                        *x = dy * KNOWN.both(*x).1;
                    }
                }
            ));
            Ok(())
        })?;
        Tensor::from_vec::<_, f32>(dx, x.shape(), x.device()).map(Some)
    }
}

/// f(a) ∘ b for rows (a, b).
struct Gated(Activation);

impl CustomOp1 for Gated {
    fn name(&self) -> &'static str {
        "gated-activation"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        if !width.is_multiple_of(2) || width == 0 {
            bail!("gated activation: expected (N, 2H), got {layout:?}");
        }
        let half = width / 2;
        let x = values(storage, layout)?;
        let mut y = vec![0.0; rows * half];
        known!(self.0, KNOWN => vectorised(
            #[inline(always)]
            || {
                for (y, row) in y.chunks_exact_mut(half).zip(x.chunks_exact(width)) {
                    let (a, b) = row.split_at(half);
                    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                        *y = KNOWN.both(a).0 * b;
                    }
                }
            }
        ));
        Ok(output(y, (rows, half)))
    }

    /// da = dy ∘ b ∘ f'(a), db = dy ∘ f(a)
    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, width) = x.dims2()?;
        let half = width / 2;
        let mut dx = with_values(x, |x| Ok(x.to_vec()))?;
        with_values(gradient, |dy| {
            known!(self.0, KNOWN => vectorised(
                #[inline(always)]
                || {
                    for (row, dy) in dx.chunks_exact_mut(width).zip(dy.chunks_exact(half)) {
                        let (a, b) = row.split_at_mut(half);
                        for ((a, b), &dy) in a.iter_mut().zip(b).zip(dy) {
                            let (value, slope) = KNOWN.both(*a);
                            (*a, *b) = (dy * *b * slope, dy * value);
                        }
                    }
                }
            ));
            Ok(())
        })?;
        Tensor::from_vec::<_, f32>(dx, x.shape(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;
    use candle_nn::ops::sigmoid;

    use super::*;
    use crate::ops::linear::tests::{assert_close, random};

    const ALL: [Activation; 4] = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Silu,
    ];

    fn plain(activation: Activation, x: &Tensor) -> Tensor {
        match activation {
            Activation::Gelu => x.gelu_erf(),
            Activation::GeluTanh => x.gelu(),
            Activation::Relu => x.relu(),
            Activation::Silu => x * sigmoid(x).unwrap(),
        }
        .unwrap()
    }

    fn gradient(y: &Tensor, dy: &Tensor, x: &Var) -> Tensor {
        let loss = (y * dy).unwrap().sum_all().unwrap();
        loss.backward().unwrap().get(x).unwrap().clone()
    }

    #[test]
    fn value_and_gradient_equal_plain_candle() {
        for activation in ALL {
            for shape in [(1, 1), (3, 5), (7, 33)] {
                let x = Var::from_tensor(&(random(shape, 1) * 4.0).unwrap()).unwrap();
                let dy = random(shape, 2);
                let (ours, theirs) = (activation.forward(&x).unwrap(), plain(activation, &x));
                assert_close(&ours, &theirs, 2e-6);
                assert_close(&gradient(&ours, &dy, &x), &gradient(&theirs, &dy, &x), 5e-6);
            }
        }
    }

    #[test]
    fn gated_value_and_gradient_equal_plain_candle() {
        for activation in ALL {
            for (rows, width) in [(1, 1), (3, 5), (7, 33)] {
                let x = random((rows, 2 * width), 1);
                let x = Var::from_tensor(&(x * 4.0).unwrap()).unwrap();
                let halves = x.chunk(2, 1).unwrap();
                let theirs = (plain(activation, &halves[0]) * &halves[1]).unwrap();
                let ours = activation.gated(&x).unwrap();
                assert_close(&ours, &theirs, 1e-5);
                let dy = random((rows, width), 2);
                assert_close(&gradient(&ours, &dy, &x), &gradient(&theirs, &dy, &x), 2e-5);
            }
        }
        assert!(Activation::Gelu.gated(&random((2, 3), 1)).is_err());
    }

    #[test]
    fn far_values_stay_finite() {
        for activation in ALL {
            for x in [-1e30f32, -500.0, 500.0, 1e30] {
                let expected = x.max(0.0);
                let (value, slope) = activation.both(x);
                assert!(
                    value == expected || (value - expected).abs() < 1e-6,
                    "{value}"
                );
                assert!(
                    (slope - x.signum().max(0.0)).abs() < 1e-6,
                    "{activation:?} {x}: {slope}"
                );
            }
        }
    }
}
