//! Server optimizers (Reddi et al. 2021, arXiv 2003.00295; Hsu et al. 2019, arXiv 1909.06335): the
//! round's step Δ = w̄ − w, from the global adapter w to what the rule gave, is a gradient.
//!
//! - FedAvgM: m ← β·m + Δ; w ← w + η·m
//! - FedAdam: m ← β₁·m + (1 − β₁)·Δ; v ← β₂·v + (1 − β₂)·Δ²; w ← w + η·m/(√v + τ)
//! - FedYogi: the same with v ← v − (1 − β₂)·Δ²·sign(v − Δ²)
//!
//! m begins at 0 and v at τ², without a correction for the beginning, as in the paper.

use std::collections::BTreeMap;

use super::Trained;
use crate::adapter::{Adapter, Matrix};
use crate::codec::{CodecError, decode_adapters, encode_adapter};
use crate::settings::{Adaptive, ServerOptimizer};

const MOMENTUM: &str = "momentum/";
const VARIANCE: &str = "variance/";

/// What a server optimizer keeps from round to round; it begins empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// m of every value.
    pub momentum: Adapter,
    /// v of every value.
    pub variance: Adapter,
}

impl OptimizerState {
    /// The state as a safetensors file, to be stored.
    pub fn encode(&self) -> Vec<u8> {
        let named = |prefix: &str, adapter: &Adapter| {
            let entry =
                |(name, matrix): (&String, &Matrix)| (format!("{prefix}{name}"), matrix.clone());
            adapter.matrices.iter().map(entry).collect::<Vec<_>>()
        };
        let mut matrices: BTreeMap<_, _> = named(MOMENTUM, &self.momentum).into_iter().collect();
        matrices.extend(named(VARIANCE, &self.variance));
        encode_adapter(&Adapter { matrices })
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`CodecError::Body`] when it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut state = Self::default();
        for (name, matrix) in decode_adapters(bytes, 2)?.matrices {
            let (part, name) = match (name.strip_prefix(MOMENTUM), name.strip_prefix(VARIANCE)) {
                (Some(name), _) => (&mut state.momentum, name),
                (_, Some(name)) => (&mut state.variance, name),
                _ => {
                    let message = format!("{name}: expected {MOMENTUM}… or {VARIANCE}…");
                    return Err(CodecError::Body(message));
                }
            };
            part.matrices.insert(name.to_owned(), matrix);
        }
        Ok(state)
    }

    /// The next global adapter, from the last one and what the round's rule gave.
    ///
    /// Matrices that the round did not train stay as they are, and so does their state.
    pub(super) fn step(
        &mut self,
        optimizer: ServerOptimizer,
        trained: Trained,
        global: &Adapter,
        mean: Adapter,
    ) -> Adapter {
        let (adaptive, yogi) = match optimizer {
            ServerOptimizer::None => return mean,
            ServerOptimizer::FedAvgM {
                learning_rate,
                momentum,
            } => {
                let update = |delta: f64, m: &mut f32, _: &mut f32| {
                    let next = f64::from(momentum) * f64::from(*m) + delta;
                    *m = next as f32;
                    f64::from(learning_rate) * next
                };
                return self.moved(0.0, trained, global, mean, update);
            }
            ServerOptimizer::FedAdam(adaptive) => (adaptive, Variance::Adam),
            ServerOptimizer::FedYogi(adaptive) => (adaptive, Variance::Yogi),
        };
        let update = |delta, m: &mut f32, v: &mut f32| adaptive.update(yogi, delta, m, v);
        self.moved(adaptive.tau.powi(2), trained, global, mean, update)
    }

    /// Every trained value moved by `update` of Δ, m and v.
    fn moved(
        &mut self,
        first_variance: f32,
        trained: Trained,
        global: &Adapter,
        mut mean: Adapter,
        mut update: impl FnMut(f64, &mut f32, &mut f32) -> f64,
    ) -> Adapter {
        for (name, matrix) in &mut mean.matrices {
            let Some(base) = global.matrices.get(name).filter(|_| trained.includes(name)) else {
                continue;
            };
            let m = kept(&mut self.momentum, name, base, 0.0);
            let v = kept(&mut self.variance, name, base, first_variance);
            let state = m.iter_mut().zip(v);
            let values = matrix.values.iter_mut().zip(&base.values);
            for ((value, &base), (m, v)) in values.zip(state) {
                let base = f64::from(base);
                *value = (base + update(f64::from(*value) - base, m, v)) as f32;
            }
        }
        mean
    }
}

/// The state of one matrix, new where it is missing or of another shape.
fn kept<'a>(state: &'a mut Adapter, name: &str, base: &Matrix, first: f32) -> &'a mut [f32] {
    let new = || Matrix {
        values: vec![first; base.values.len()],
        ..*base
    };
    let entry = state.matrices.entry(name.to_owned()).or_insert_with(new);
    if entry.values.len() != base.values.len() {
        *entry = new();
    }
    &mut entry.values
}

/// How v follows Δ².
#[derive(Clone, Copy)]
enum Variance {
    Adam,
    Yogi,
}

impl Adaptive {
    /// The change of one value.
    fn update(self, variance: Variance, delta: f64, m: &mut f32, v: &mut f32) -> f64 {
        let (beta1, beta2) = (f64::from(self.beta1), f64::from(self.beta2));
        let square = delta * delta;
        let next_m = beta1 * f64::from(*m) + (1.0 - beta1) * delta;
        let old_v = f64::from(*v);
        let next_v = match variance {
            Variance::Adam => beta2 * old_v + (1.0 - beta2) * square,
            // At v = Δ² nothing changes, as sign(0) = 0.
            Variance::Yogi if old_v == square => old_v,
            Variance::Yogi => old_v - (1.0 - beta2) * square * (old_v - square).signum(),
        };
        (*m, *v) = (next_m as f32, next_v as f32);
        f64::from(self.learning_rate) * next_m / (next_v.max(0.0).sqrt() + f64::from(self.tau))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::testing::{lora, row, values};
    use crate::codec::MATRICES_LIMIT;

    const ADAPTIVE: Adaptive = Adaptive {
        learning_rate: 0.5,
        beta1: 0.5,
        beta2: 0.75,
        tau: 0.5,
    };

    /// Two rounds whose rule gives the global adapter plus 2, from 0.
    fn two_rounds(optimizer: ServerOptimizer) -> Vec<f32> {
        let (mut state, mut global) = (OptimizerState::default(), row(&[0.0]));
        let step = |_| {
            let mean = row(&[values(&global)[0] + 2.0]);
            global = state.step(optimizer, Trained::Both, &global, mean);
            values(&global)[0]
        };
        (0..2).map(step).collect()
    }

    #[test]
    fn steps_follow_the_formulas() {
        assert_eq!(two_rounds(ServerOptimizer::None), [2.0, 4.0]);
        let momentum = ServerOptimizer::FedAvgM {
            learning_rate: 0.5,
            momentum: 0.5,
        };
        // m: 2, 3.
        assert_eq!(two_rounds(momentum), [1.0, 2.5]);
        // m: 1, 1.5; v begins at 0.25, then 0.1875 + 1, then 0.890625 + 1.
        let adam = |v1: f32, v2: f32| {
            let first = 0.5 * 1.0 / (v1.sqrt() + 0.5);
            [first, first + 0.5 * 1.5 / (v2.sqrt() + 0.5)]
        };
        let found = two_rounds(ServerOptimizer::FedAdam(ADAPTIVE));
        close(&found, &adam(1.1875, 1.890_625));
        // v grows by (1 − β₂)·4 = 1 while it is below 4.
        let found = two_rounds(ServerOptimizer::FedYogi(ADAPTIVE));
        close(&found, &adam(1.25, 2.25));
    }

    fn close(found: &[f32], expected: &[f32]) {
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
        assert!(
            found.iter().zip(expected).all(near),
            "{found:?}, expected {expected:?}"
        );
    }

    #[test]
    fn state_of_the_largest_adapter_is_read_back() {
        let one = || row(&[1.0]).matrices.into_values().next().unwrap();
        let named = |number: usize| (format!("m{number}.lora_A.weight"), one());
        let largest = Adapter {
            matrices: (0..MATRICES_LIMIT).map(named).collect(),
        };
        let state = OptimizerState {
            momentum: largest.clone(),
            variance: largest,
        };
        assert_eq!(OptimizerState::decode(&state.encode()), Ok(state));
    }

    #[test]
    fn plain_momentum_is_fedavg() {
        let plain = ServerOptimizer::FedAvgM {
            learning_rate: 1.0,
            momentum: 0.0,
        };
        assert_eq!(two_rounds(plain), two_rounds(ServerOptimizer::None));
    }

    #[test]
    fn untrained_matrices_and_their_state_rest() {
        let optimizer = ServerOptimizer::FedAvgM {
            learning_rate: 1.0,
            momentum: 0.9,
        };
        let (first, second) = (lora(1, 2), lora(2, 2));
        let mut state = OptimizerState::default();
        let global = state.step(optimizer, Trained::Both, &first, second.clone());
        let before = state.clone();
        let mean = Trained::OnlyB.whole(&second, &global).into_owned();
        let next = state.step(optimizer, Trained::OnlyB, &global, mean);
        let a = "m.key.lora_A.weight";
        assert_eq!(next.matrices[a], global.matrices[a]);
        assert_eq!(state.momentum.matrices[a], before.momentum.matrices[a]);
    }

    #[test]
    fn state_survives_its_bytes() {
        let state = OptimizerState {
            momentum: lora(1, 2),
            variance: lora(2, 2),
        };
        assert_eq!(OptimizerState::decode(&state.encode()).unwrap(), state);
        assert!(OptimizerState::decode(&encode_adapter(&lora(1, 2))).is_err());
        assert!(OptimizerState::decode(b"nothing").is_err());
    }
}
