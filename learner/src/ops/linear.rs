//! Linear layers whose weights are frozen, plain and with LoRA beside them (Hu et al. 2021).

use std::sync::Arc;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};

use super::{output, values, with_values};

/// y = x Wᵀ + b with W (out, in) and b (out) frozen: the backward pass makes dx = dy W only.
///
/// # Shapes
/// (N, in) -> (N, out)
#[derive(Clone, Debug)]
pub(crate) struct FrozenLinear {
    weight: Tensor,
    bias: Arc<Vec<f32>>,
}

impl FrozenLinear {
    /// `weight` is (out, in), `bias` as long as out, or empty for none.
    pub(crate) fn new(weight: Tensor, bias: Vec<f32>) -> Self {
        Self {
            weight: weight.detach(),
            bias: Arc::new(bias),
        }
    }

    pub(crate) fn weight(&self) -> &Tensor {
        &self.weight
    }

    pub(crate) fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Width of the output and of the input.
    pub(crate) fn widths(&self) -> (usize, usize) {
        let [output, input] = [0, 1].map(|axis| self.weight.dims()[axis]);
        (output, input)
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1(self.clone())
    }

    /// The layer with weight W + `delta` (out, in) and the same bias.
    pub(crate) fn plus(&self, delta: &Tensor) -> Result<Self> {
        Ok(Self {
            weight: (&self.weight + delta)?.detach(),
            bias: Arc::clone(&self.bias),
        })
    }

    fn product(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (storage, weight) = self.weight.storage_and_layout();
        let (rows, width) = layout.shape().dims2()?;
        let (outputs, inputs) = weight.shape().dims2()?;
        let Storage::Cpu(storage) = &*storage else {
            bail!("expected a weight in main memory");
        };
        if width != inputs {
            bail!("linear layer: expected (N, {inputs}), got {layout:?}");
        }
        let transposed = weight.transpose(0, 1)?;
        let CpuStorage::F32(mut y) =
            x.matmul(storage, (1, rows, outputs, inputs), layout, &transposed)?
        else {
            bail!("linear layer: expected f32");
        };
        for row in y.chunks_exact_mut(outputs) {
            row.iter_mut().zip(&*self.bias).for_each(|(y, b)| *y += b);
        }
        Ok(output(y, (rows, outputs)))
    }
}

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.product(x, layout)
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        gradient.matmul(&self.weight).map(Some)
    }
}

/// y = x Wᵀ + b + s · ((m ∘ x) Aᵀ) Bᵀ with W and b frozen, A (r, in) and B (out, r) trained, and m
/// dropout's mask, all ones where there is none.
///
/// # Shapes
/// (N, in) -> (N, out)
#[derive(Clone, Debug)]
pub(crate) struct LoraLinear {
    frozen: FrozenLinear,
    scale: f32,
    mask: Option<Tensor>,
}

impl LoraLinear {
    pub(crate) fn forward(
        frozen: &FrozenLinear,
        scale: f32,
        mask: Option<Tensor>,
        [x, a, b]: [&Tensor; 3],
    ) -> Result<Tensor> {
        let op = Self {
            frozen: frozen.clone(),
            scale,
            mask,
        };
        x.apply_op3(a, b, op)
    }

    /// m ∘ x, where there is a mask.
    fn masked(&self, x: &CpuStorage, layout: &Layout) -> Result<Option<CpuStorage>> {
        let Some(mask) = &self.mask else {
            return Ok(None);
        };
        if mask.shape() != layout.shape() {
            bail!("LoRA: got the mask {mask:?} for x {layout:?}");
        }
        let x = values(x, layout)?;
        let product = |mask: &[f32]| Ok(x.iter().zip(mask).map(|(x, m)| x * m).collect());
        with_values(mask, product).map(|values| Some(CpuStorage::F32(values)))
    }
}

impl CustomOp3 for LoraLinear {
    fn name(&self) -> &'static str {
        "lora-linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (y, shape) = self.frozen.product(x, x_layout)?;
        let (rows, outputs) = shape.dims2()?;
        let (rank, inputs) = a_layout.shape().dims2()?;
        if x_layout.dims() != [rows, inputs] || b_layout.dims() != [outputs, rank] {
            bail!("LoRA: got A {a_layout:?} and B {b_layout:?} for x {x_layout:?}");
        }
        let masked = self.masked(x, x_layout)?;
        let whole = Layout::contiguous((rows, inputs));
        let (x, x_layout) = match &masked {
            Some(masked) => (masked, &whole),
            None => (x, x_layout),
        };
        // (N, in) x (in, r) -> (N, r), then (N, r) x (r, out) -> (N, out)
        let a_transposed = a_layout.transpose(0, 1)?;
        let low = x.matmul(a, (1, rows, rank, inputs), x_layout, &a_transposed)?;
        let low_layout = Layout::contiguous((rows, rank));
        let b_transposed = b_layout.transpose(0, 1)?;
        let delta = low.matmul(b, (1, rows, outputs, rank), &low_layout, &b_transposed)?;
        match (y, delta) {
            (CpuStorage::F32(mut y), CpuStorage::F32(delta)) => {
                let pairs = y.iter_mut().zip(&delta);
                pairs.for_each(|(y, delta)| *y += self.scale * delta);
                Ok(output(y, shape))
            }
            _ => bail!("LoRA: expected f32"),
        }
    }

    /// With n = m ∘ x: dB = s dyᵀ (n Aᵀ), dA = s (dy B)ᵀ n, dx = dy W + m ∘ (s (dy B) A); dx only
    /// where it is wanted.
    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [x_values, a, b] = [x, a, b].map(Tensor::detach);
        let masked = |x: Tensor| match &self.mask {
            Some(mask) => x * mask,
            None => Ok(x),
        };
        let x_values = masked(x_values)?;
        let scale = f64::from(self.scale);
        let low = x_values.matmul(&a.t()?)?;
        let db = (gradient.t()?.matmul(&low)? * scale)?;
        let dlow = (gradient.matmul(&b)? * scale)?;
        let da = dlow.t()?.matmul(&x_values)?;
        let dx = match x.track_op() {
            true => Some((gradient.matmul(&self.frozen.weight)? + masked(dlow.matmul(&a)?)?)?),
            false => None,
        };
        Ok((dx, Some(da), Some(db)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use candle_core::{Device, Var};
    use fl_core::random::{Purpose, generator};
    use rand::RngExt as _;

    use super::*;

    /// A (rows, columns) tensor of values in −1..1.
    pub(crate) fn random(shape: (usize, usize), seed: u32) -> Tensor {
        let mut rng = generator(seed, Purpose::Partition, 7);
        let draw = |_| rng.random::<f32>() * 2.0 - 1.0;
        let values: Vec<f32> = (0..shape.0 * shape.1).map(draw).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[track_caller]
    pub(crate) fn assert_close(got: &Tensor, expected: &Tensor, tolerance: f32) {
        assert_eq!(got.dims(), expected.dims());
        let difference = (got - expected).unwrap().abs().unwrap().max_all().unwrap();
        let difference = difference.to_scalar::<f32>().unwrap();
        assert!(difference <= tolerance, "differ by {difference}");
    }

    fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        let product = x.matmul(&weight.t().unwrap()).unwrap();
        product.broadcast_add(bias).unwrap()
    }

    fn gradient(y: &Tensor, dy: &Tensor, var: &Var) -> Tensor {
        let loss = (y * dy).unwrap().sum_all().unwrap();
        loss.backward().unwrap().get(var).unwrap().clone()
    }

    const SHAPES: [(usize, usize, usize); 4] = [(1, 1, 1), (3, 5, 7), (8, 32, 16), (17, 9, 33)];

    #[test]
    fn frozen_value_and_gradient_equal_plain_candle() {
        for (rows, inputs, outputs) in SHAPES {
            let x = Var::from_tensor(&random((rows, inputs), 1)).unwrap();
            let weight = random((outputs, inputs), 2);
            let bias = random((1, outputs), 3);
            let list = bias.flatten_all().unwrap().to_vec1().unwrap();
            let ours = FrozenLinear::new(weight.clone(), list).forward(&x).unwrap();
            let theirs = plain(&x, &weight, &bias);
            assert_close(&ours, &theirs, 1e-5);
            let dy = random((rows, outputs), 4);
            assert_close(&gradient(&ours, &dy, &x), &gradient(&theirs, &dy, &x), 1e-5);
        }
    }

    #[test]
    fn lora_value_and_gradients_equal_plain_candle() {
        for (rows, inputs, outputs) in SHAPES {
            for (rank, has_mask) in [(1, false), (3, true), (8, false), (8, true)] {
                let var = |shape, seed| Var::from_tensor(&random(shape, seed)).unwrap();
                let x = var((rows, inputs), 1);
                let (a, b) = (var((rank, inputs), 5), var((outputs, rank), 6));
                let weight = random((outputs, inputs), 2);
                let bias = random((1, outputs), 3);
                let list = bias.flatten_all().unwrap().to_vec1().unwrap();
                let frozen = FrozenLinear::new(weight.clone(), list);
                let mask = has_mask.then(|| random((rows, inputs), 8));
                let xab = [x.as_tensor(), a.as_tensor(), b.as_tensor()];
                let ours = LoraLinear::forward(&frozen, 0.5, mask.clone(), xab).unwrap();
                let seen = mask.map_or(x.as_tensor().clone(), |m| (x.as_tensor() * m).unwrap());
                let low = seen.matmul(&a.t().unwrap()).unwrap();
                let delta = (low.matmul(&b.t().unwrap()).unwrap() * 0.5).unwrap();
                let theirs = (plain(&x, &weight, &bias) + delta).unwrap();
                assert_close(&ours, &theirs, 2e-5);
                let dy = random((rows, outputs), 4);
                for var in [&x, &a, &b] {
                    let (ours, theirs) = (gradient(&ours, &dy, var), gradient(&theirs, &dy, var));
                    assert_close(&ours, &theirs, 5e-5);
                }
            }
        }
    }

    #[test]
    fn misshapen_inputs_are_refused() {
        let frozen = FrozenLinear::new(random((2, 3), 1), vec![0.0; 2]);
        assert!(frozen.forward(&random((1, 4), 1)).is_err());
        let (x, a, b) = (random((1, 3), 1), random((2, 3), 1), random((2, 1), 1));
        assert!(LoraLinear::forward(&frozen, 1.0, None, [&x, &a, &b]).is_err());
        let (b, mask) = (random((2, 2), 1), random((1, 2), 1));
        assert!(LoraLinear::forward(&frozen, 1.0, None, [&x, &a, &b]).is_ok());
        assert!(LoraLinear::forward(&frozen, 1.0, Some(mask), [&x, &a, &b]).is_err());
    }
}
