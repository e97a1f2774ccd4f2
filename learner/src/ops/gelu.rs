//! The exact GELU, x · Φ(x) (Hendrycks and Gimpel 2016).

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::math::normal;
use super::{output, values, with_values};

/// GELU by the error function, to 1e-6.
pub(crate) struct Gelu;

impl Gelu {
    pub(crate) fn forward(x: &Tensor) -> Result<Tensor> {
        x.apply_op1(Self)
    }
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let y = x.iter().map(|&x| x * normal(x).0).collect();
        Ok(output(y, layout.shape().clone()))
    }

    /// dx = dy · (Φ(x) + x φ(x))
    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        const FRAC_1_SQRT_2PI: f32 = 0.398_942_3;
        let slope = |(&x, &dy): (&f32, &f32)| {
            let (distribution, bell) = normal(x);
            dy * (distribution + x * bell * FRAC_1_SQRT_2PI)
        };
        let dx = with_values(x, |x| {
            with_values(gradient, |dy| Ok(x.iter().zip(dy).map(slope).collect()))
        })?;
        Tensor::from_vec::<_, f32>(dx, x.shape(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::ops::linear::tests::{assert_close, random};

    #[test]
    fn value_and_gradient_equal_plain_candle() {
        for shape in [(1, 1), (3, 5), (7, 33)] {
            let x = Var::from_tensor(&(random(shape, 1) * 4.0).unwrap()).unwrap();
            let weight = random(shape, 2);
            let (ours, plain) = (Gelu::forward(&x).unwrap(), x.gelu_erf().unwrap());
            assert_close(&ours, &plain, 2e-6);
            let gradient = |y: Tensor| {
                let loss = (y * &weight).unwrap().sum_all().unwrap();
                loss.backward().unwrap().get(&x).unwrap().clone()
            };
            assert_close(&gradient(ours), &gradient(plain), 5e-6);
        }
    }
}
