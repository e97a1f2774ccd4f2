//! AdamW and gradient clipping, with PyTorch's semantics.

use fl_core::adapter::{Adapter, Matrix};
use fl_core::settings::TrainingSettings;

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), as `torch.optim.AdamW` does it:
/// bias correction in the step size, and ε added outside the square root.
#[derive(Clone, Debug)]
pub struct AdamW {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    step: u32,
    first: Vec<Vec<f32>>,
    second: Vec<Vec<f32>>,
}

impl AdamW {
    /// A fresh optimizer, without momentum, for adapters of one layout.
    pub fn new(settings: &TrainingSettings, adapter: &Adapter) -> Self {
        let zeros = || {
            let zeros = |matrix: &Matrix| vec![0.0; matrix.values.len()];
            adapter.matrices.values().map(zeros).collect()
        };
        Self {
            beta1: settings.beta1.into(),
            beta2: settings.beta2.into(),
            epsilon: settings.epsilon.into(),
            weight_decay: settings.weight_decay.into(),
            step: 0,
            first: zeros(),
            second: zeros(),
        }
    }

    /// Moves `parameters` against `gradient`; both have the layout that [`Self::new`] saw.
    pub fn step(&mut self, parameters: &mut Adapter, gradient: &Adapter, rate: f32) {
        self.step += 1;
        let power = |beta: f64| beta.powf(f64::from(self.step));
        let rate = f64::from(rate);
        let step_size = (rate / (1.0 - power(self.beta1))) as f32;
        let root = (1.0 - power(self.beta2)).sqrt() as f32;
        let keep = (1.0 - rate * self.weight_decay) as f32;
        let (beta2, epsilon) = (self.beta2 as f32, self.epsilon as f32);
        let (new1, new2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);

        let moments = self.first.iter_mut().zip(&mut self.second);
        let matrices = parameters
            .matrices
            .values_mut()
            .zip(gradient.matrices.values());
        for ((parameter, gradient), (first, second)) in matrices.zip(moments) {
            let values = parameter.values.iter_mut().zip(&gradient.values);
            for ((value, &gradient), (m, v)) in values.zip(first.iter_mut().zip(second)) {
                *m += (gradient - *m) * new1;
                *v = *v * beta2 + gradient * gradient * new2;
                let denominator = v.sqrt() / root + epsilon;
                *value = *value * keep - step_size * (*m / denominator);
            }
        }
    }
}

/// Cuts the gradient's global L2 norm to `limit` as `torch.nn.utils.clip_grad_norm_` does, and
/// returns the norm before; a limit of 0 leaves the gradient alone.
pub fn clip_norm(gradient: &mut Adapter, limit: f32) -> f32 {
    let square = |value: &f32| f64::from(*value) * f64::from(*value);
    let values = gradient.matrices.values().flat_map(|m| &m.values);
    let norm = values.map(square).sum::<f64>().sqrt();
    let factor = f64::from(limit) / (norm + 1e-6);
    if limit > 0.0 && factor < 1.0 {
        for value in gradient.matrices.values_mut().flat_map(|m| &mut m.values) {
            *value *= factor as f32;
        }
    }
    norm as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Adapter {
        let matrix = Matrix {
            rows: 1,
            columns: values.len(),
            values: values.to_vec(),
        };
        Adapter {
            matrices: [("a".to_owned(), matrix)].into(),
        }
    }

    /// By PyTorch 2.15:
    /// ```python
    /// p = torch.nn.Parameter(torch.tensor([0.5, -1.0, 2.0]))
    /// optimizer = torch.optim.AdamW([p], lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    /// for gradient in GRADIENTS:
    ///     p.grad = torch.tensor(gradient)
    ///     print(torch.nn.utils.clip_grad_norm_([p], 1.0))
    ///     optimizer.step()
    ///     print(p.data)
    /// ```
    #[test]
    fn four_clipped_steps_equal_pytorch() {
        let gradients = [
            [0.3, -0.2, 1.5],
            [0.1, 0.4, -3.0],
            [-0.5, 0.0, 0.25],
            [2.0, 1.0, -1.0],
        ];
        let expected = [
            (1.542_724_8, [0.399_5, -0.899_000_05, 1.898]),
            (3.028_200_9, [0.320_576_9, -0.904_300_33, 1.902_301_3]),
            (0.559_017, [0.357_433_23, -0.908_188_1, 1.893_784]),
            (2.449_489_8, [0.325_264_4, -0.961_838, 1.902_861_4]),
        ];
        let settings = TrainingSettings::default();
        let mut parameters = row(&[0.5, -1.0, 2.0]);
        let mut optimizer = AdamW::new(&settings, &parameters);
        for (gradient, (norm, values)) in gradients.iter().zip(expected) {
            let mut gradient = row(gradient);
            let got = clip_norm(&mut gradient, 1.0);
            assert!((got - norm).abs() < 1e-6, "{got}");
            optimizer.step(&mut parameters, &gradient, 0.1);
            for (got, expected) in parameters.matrices["a"].values.iter().zip(values) {
                assert!((got - expected).abs() < 1e-6, "{got} {expected}");
            }
        }
    }

    #[test]
    fn limit_of_zero_leaves_the_gradient_alone() {
        let mut gradient = row(&[3.0, 4.0]);
        assert_eq!(clip_norm(&mut gradient, 0.0), 5.0);
        assert_eq!(gradient, row(&[3.0, 4.0]));
        assert_eq!(clip_norm(&mut gradient, 10.0), 5.0);
        assert_eq!(gradient, row(&[3.0, 4.0]));
    }
}
