//! Linear layers whose weights are frozen, plain and with LoRA beside them (Hu et al. 2021).

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::gemm::{Format, Out, Packed, Start, View, multiply, multiply_packed};
use super::{output, read, values, with_values};

/// y = x Wᵀ + b with W (out, in) and b (out) frozen: the backward pass makes dx = dy W only.
///
/// # Shapes
/// (N, in) -> (N, out)
#[derive(Clone, Debug)]
pub(crate) struct FrozenLinear(Arc<Frozen>);

#[derive(Debug)]
struct Frozen {
    /// Wᵀ (in, out), as the forward pass reads it.
    forward: Packed,
    /// W, as the backward pass reads it: packed at its first use, as scoring has none.
    backward: OnceLock<Packed>,
    bias: Vec<f32>,
    /// The format of 16 bits that both are held in, if any.
    half: Option<Format>,
}

impl FrozenLinear {
    /// `weight` is (out, in), row after row, `bias` as long as out, or empty for none.
    pub(crate) fn new(weight: &[f32], shape: [usize; 2], bias: Vec<f32>) -> Self {
        Self::held(weight, shape, bias, None)
    }

    /// The same with the weights held in a format of 16 bits, which `weight` fits exactly.
    pub(crate) fn held(
        weight: &[f32],
        [output, input]: [usize; 2],
        bias: Vec<f32>,
        half: Option<Format>,
    ) -> Self {
        Self(Arc::new(Frozen {
            forward: pack(View::new(weight, output, input).transposed(), half),
            backward: OnceLock::new(),
            bias,
            half,
        }))
    }

    /// W (out, in), row after row.
    pub(crate) fn weight(&self) -> Vec<f32> {
        self.0.forward.columns_in_turn()
    }

    pub(crate) fn bias(&self) -> &[f32] {
        &self.0.bias
    }

    /// Width of the output and of the input.
    pub(crate) fn widths(&self) -> (usize, usize) {
        (self.0.forward.columns(), self.0.forward.rows())
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.apply_op1(self.clone())
    }

    /// The layer with weight W + `delta` (out, in) and the same bias.
    pub(crate) fn plus(&self, delta: &Tensor) -> Result<Self> {
        let (output, input) = self.widths();
        if delta.dims() != [output, input] {
            bail!("linear layer: expected ({output}, {input}), got {delta:?}");
        }
        let mut weight = self.weight();
        with_values(delta, |delta| {
            weight.iter_mut().zip(delta).for_each(|(w, d)| *w += d);
            Ok(())
        })?;
        Ok(Self::new(&weight, [output, input], self.0.bias.clone()))
    }

    /// x Wᵀ + b of the rows of x, (N, in) -> (N, out).
    pub(super) fn product(&self, x: &[f32]) -> Vec<f32> {
        let start = match &self.0.bias[..] {
            [] => Start::Zero,
            bias => Start::Bias(bias),
        };
        product_of(rows(x, self.widths().1), &self.0.forward, start)
    }

    /// x Wᵀ of the rows of x, (N, in) -> (N, out).
    pub(super) fn product_without_bias(&self, x: &[f32]) -> Vec<f32> {
        product_of(rows(x, self.widths().1), &self.0.forward, Start::Zero)
    }

    /// dy W, (N, out) -> (N, in).
    pub(super) fn input_gradient(&self, dy: &[f32]) -> Vec<f32> {
        let (output, input) = self.widths();
        let backward = self.0.backward.get_or_init(|| {
            let weight = self.weight();
            pack(View::new(&weight, output, input), self.0.half)
        });
        product_of(rows(dy, output), backward, Start::Zero)
    }

    /// Refuses an input of another width.
    pub(super) fn check(&self, layout: &Layout) -> Result<usize> {
        let (_, inputs) = self.widths();
        match layout.dims() {
            &[rows, width] if width == inputs => Ok(rows),
            _ => bail!("linear layer: expected (N, {inputs}), got {layout:?}"),
        }
    }
}

fn pack(matrix: View<'_>, half: Option<Format>) -> Packed {
    match half {
        Some(format) => Packed::half(matrix, format),
        None => Packed::new(matrix),
    }
}

/// Rows of `width` values, one after the other.
fn rows(values: &[f32], width: usize) -> View<'_> {
    View::new(values, values.len().checked_div(width).unwrap_or(0), width)
}

fn product_of(left: View<'_>, right: &Packed, start: Start<'_>) -> Vec<f32> {
    let stride = right.columns();
    let mut values = vec![0.0; left.rows() * stride];
    let out = Out {
        values: &mut values,
        stride,
    };
    multiply_packed(left, right, out, start);
    values
}

/// Adds `left` (m, k) times `right` (k, n) to the rows of `sum` (m, n).
fn add_product(left: View<'_>, right: View<'_>, sum: &mut [f32]) {
    let stride = right.columns();
    let out = Out {
        values: sum,
        stride,
    };
    multiply(left, right, out, Start::Sum);
}

impl CustomOp1 for FrozenLinear {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = self.check(layout)?;
        let y = self.product(values(x, layout)?);
        Ok(output(y, (rows, self.widths().0)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_values(gradient, |dy| Ok(self.input_gradient(dy)))?;
        Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
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

    /// m ∘ x, or x itself where there is no mask.
    fn masked<'x>(&self, x: &'x [f32]) -> Result<Cow<'x, [f32]>> {
        let Some(mask) = &self.mask else {
            return Ok(Cow::Borrowed(x));
        };
        with_values(mask, |mask| {
            if mask.len() != x.len() {
                bail!("LoRA: got a mask of {} for x of {}", mask.len(), x.len());
            }
            Ok(x.iter().zip(mask).map(|(x, m)| x * m).collect())
        })
    }

    /// Adds m ∘ (left right) to `sum`.
    fn add_masked(&self, left: View<'_>, right: View<'_>, sum: &mut [f32]) -> Result<()> {
        let Some(mask) = &self.mask else {
            add_product(left, right, sum);
            return Ok(());
        };
        let product = product_of(left, &Packed::new(right), Start::Zero);
        with_values(mask, |mask| {
            let pairs = product.iter().zip(mask);
            sum.iter_mut()
                .zip(pairs)
                .for_each(|(sum, (p, m))| *sum += p * m);
            Ok(())
        })
    }

    /// s · left (N, k) times right (k, r): what passes through the narrow middle.
    fn narrow(&self, left: View<'_>, right: View<'_>) -> Vec<f32> {
        let mut low = product_of(left, &Packed::new(right), Start::Zero);
        low.iter_mut().for_each(|value| *value *= self.scale);
        low
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
        let count = self.frozen.check(x_layout)?;
        let (outputs, inputs) = self.frozen.widths();
        let (rank, width) = a_layout.shape().dims2()?;
        if width != inputs || b_layout.dims() != [outputs, rank] {
            bail!("LoRA: got A {a_layout:?} and B {b_layout:?} for x {x_layout:?}");
        }
        let (x, a, b) = (
            values(x, x_layout)?,
            values(a, a_layout)?,
            values(b, b_layout)?,
        );
        let mut y = self.frozen.product(x);
        let seen = self.masked(x)?;
        let low = self.narrow(rows(&seen, inputs), View::new(a, rank, inputs).transposed());
        let b = View::new(b, outputs, rank).transposed();
        add_product(View::new(&low, count, rank), b, &mut y);
        Ok(output(y, (count, outputs)))
    }

    /// With n = m ∘ x: dB = dyᵀ (s n Aᵀ), dA = (s dy B)ᵀ n, dx = dy W + m ∘ ((s dy B) A); dx only
    /// where it is wanted.
    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (outputs, inputs) = self.frozen.widths();
        let (count, rank) = (gradient.dim(0)?, a.dim(0)?);
        let gradient = gradient.contiguous()?;
        let (x_values, a_values, b_values) = (read(x)?, read(a)?, read(b)?);
        let dy_values = read(&gradient)?;
        let seen = self.masked(&x_values)?;
        let (seen, dy) = (rows(&seen, inputs), rows(&dy_values, outputs));
        let (a_view, b_view) = (
            View::new(&a_values, rank, inputs),
            View::new(&b_values, outputs, rank),
        );
        let low = self.narrow(seen, a_view.transposed());
        let low = View::new(&low, count, rank);
        let db = product_of(dy.transposed(), &Packed::new(low), Start::Zero);
        let dlow = self.narrow(dy, b_view);
        let dlow = View::new(&dlow, count, rank);
        // As (in, r): its right side has few columns to pack.
        let da = product_of(seen.transposed(), &Packed::new(dlow), Start::Zero);
        let dx = match x.track_op() {
            true => {
                let mut dx = self.frozen.input_gradient(&dy_values);
                self.add_masked(dlow, a_view, &mut dx)?;
                Some(Tensor::from_vec(dx, x.shape(), x.device())?)
            }
            false => None,
        };
        let da = Tensor::from_vec(da, (inputs, rank), a.device())?.t()?;
        let db = Tensor::from_vec(db, b.shape(), b.device())?;
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

    pub(crate) fn frozen(weight: &Tensor, bias: Vec<f32>) -> FrozenLinear {
        let shape = weight.dims().try_into().unwrap();
        with_values(weight, |weight| Ok(FrozenLinear::new(weight, shape, bias))).unwrap()
    }

    fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
        let product = x.matmul(&weight.t().unwrap()).unwrap();
        product.broadcast_add(bias).unwrap()
    }

    pub(crate) fn gradient(y: &Tensor, dy: &Tensor, var: &Var) -> Tensor {
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
            let ours = frozen(&weight, list).forward(&x).unwrap();
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
                let frozen = frozen(&weight, list);
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
    fn weights_of_16_bits_give_the_same() {
        for format in [Format::F16, Format::BF16] {
            // Sixteenths fit both formats.
            let weight = (random((33, 70), 1) * 16.0).unwrap().round().unwrap();
            let weight: Vec<f32> = weight.flatten_all().unwrap().to_vec1().unwrap();
            let bias = vec![0.5; 33];
            let half = FrozenLinear::held(&weight, [33, 70], bias.clone(), Some(format));
            let full = FrozenLinear::new(&weight, [33, 70], bias);
            assert_eq!(half.weight(), weight);
            let x = Var::from_tensor(&random((300, 70), 2)).unwrap();
            let dy = random((300, 33), 3);
            let (ours, theirs) = (half.forward(&x).unwrap(), full.forward(&x).unwrap());
            assert_close(&ours, &theirs, 0.0);
            assert_close(&gradient(&ours, &dy, &x), &gradient(&theirs, &dy, &x), 0.0);
        }
    }

    #[test]
    fn misshapen_inputs_are_refused() {
        let frozen = frozen(&random((2, 3), 1), vec![0.0; 2]);
        assert!(frozen.forward(&random((1, 4), 1)).is_err());
        let (x, a, b) = (random((1, 3), 1), random((2, 3), 1), random((2, 1), 1));
        assert!(LoraLinear::forward(&frozen, 1.0, None, [&x, &a, &b]).is_err());
        let (b, mask) = (random((2, 2), 1), random((1, 2), 1));
        assert!(LoraLinear::forward(&frozen, 1.0, None, [&x, &a, &b]).is_ok());
        assert!(LoraLinear::forward(&frozen, 1.0, Some(mask), [&x, &a, &b]).is_err());
    }
}
