//! A layer's feed-forward network with both its projections frozen (Vaswani et al. 2017).

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::activation::Activation;
use super::linear::FrozenLinear;
use super::{output, values, with_values};

/// y = f(x W₁ᵀ + b₁) W₂ᵀ + b₂.
///
/// As one operation it keeps one wide matrix for the backward pass, f's derivatives, where the
/// three apart would keep two and compute the derivatives later.
///
/// # Shapes
/// (N, H) -> (N, H)
#[derive(Debug)]
pub(crate) struct FeedForward {
    widen: FrozenLinear,
    activation: Activation,
    narrow: FrozenLinear,
    /// f'(x W₁ᵀ + b₁), (N, I), where a gradient is wanted.
    slopes: OnceLock<Vec<f32>>,
    keep: bool,
}

impl FeedForward {
    pub(crate) fn forward(
        [widen, narrow]: [&FrozenLinear; 2],
        activation: Activation,
        x: &Tensor,
    ) -> Result<Tensor> {
        let op = Self {
            widen: widen.clone(),
            activation,
            narrow: narrow.clone(),
            slopes: OnceLock::new(),
            keep: x.track_op(),
        };
        x.apply_op1(op)
    }
}

impl CustomOp1 for FeedForward {
    fn name(&self) -> &'static str {
        "feed-forward"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = self.widen.check(layout)?;
        let mut inner = self.widen.product(values(x, layout)?);
        match self.keep {
            true => {
                let slopes = self.activation.apply_with_slopes(&mut inner);
                self.slopes.get_or_init(|| slopes);
            }
            false => self.activation.apply(&mut inner),
        }
        let y = self.narrow.product(&inner);
        Ok(output(y, (rows, self.narrow.widths().0)))
    }

    /// dx = ((dy W₂) ∘ f') W₁
    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let Some(slopes) = self.slopes.get() else {
            bail!("feed-forward: the backward pass came before the forward pass");
        };
        let mut inner = with_values(gradient, |dy| Ok(self.narrow.input_gradient(dy)))?;
        inner.iter_mut().zip(slopes).for_each(|(dy, f)| *dy *= f);
        let dx = self.widen.input_gradient(&inner);
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Var;

    use super::*;
    use crate::ops::linear::tests::{assert_close, frozen, gradient, random};

    #[test]
    fn value_and_gradient_equal_those_of_the_parts() {
        for (rows, width, inner) in [(1, 1, 1), (3, 5, 11), (17, 8, 33)] {
            let widen = frozen(&random((inner, width), 1), vec![0.3; inner]);
            let narrow = frozen(&random((width, inner), 2), vec![0.2; width]);
            for activation in [Activation::Gelu, Activation::Relu] {
                let x = Var::from_tensor(&random((rows, width), 3)).unwrap();
                let layers = [&widen, &narrow];
                let ours = FeedForward::forward(layers, activation, &x).unwrap();
                let wide = activation.forward(&widen.forward(&x).unwrap()).unwrap();
                let theirs = narrow.forward(&wide).unwrap();
                assert_close(&ours, &theirs, 1e-6);
                let dy = random((rows, width), 4);
                assert_close(&gradient(&ours, &dy, &x), &gradient(&theirs, &dy, &x), 1e-6);
                let still = FeedForward::forward(layers, activation, &x.detach()).unwrap();
                assert_close(&still, &theirs, 1e-6);
            }
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let layer = frozen(&random((2, 2), 1), vec![0.0; 2]);
        let x = random((1, 3), 1);
        assert!(FeedForward::forward([&layer, &layer], Activation::Relu, &x).is_err());
    }
}
