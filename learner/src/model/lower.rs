//! What the layers below the lowest adapted one give for each prompt: it never changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};

use crate::Result;
use crate::prompt::Cloze;

/// Most bytes of rows that are kept; further prompts are computed each time.
const LIMIT: usize = 128 << 20;

/// Rows that go into a layer, by the prompt's token ids.
#[derive(Debug)]
pub(crate) struct Lower {
    layer: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    rows: HashMap<Vec<u32>, Arc<[f32]>>,
    bytes: usize,
}

impl Lower {
    /// Nothing is kept yet of what goes into this layer.
    pub(crate) fn new(layer: usize) -> Self {
        Self {
            layer,
            kept: Mutex::default(),
        }
    }

    pub(crate) fn layer(&self) -> usize {
        self.layer
    }

    /// The prompts' rows one after the other, (N, H); `compute` makes those that are not kept.
    pub(crate) fn rows(
        &self,
        prompts: &[&Cloze],
        compute: impl FnOnce(&[&Cloze]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let mut found = self.find(prompts);
        let missing = || {
            let pairs = prompts.iter().zip(&found);
            pairs.filter_map(|(prompt, found)| found.is_none().then_some(*prompt))
        };
        let asked: Vec<&Cloze> = missing().collect();
        if !asked.is_empty() {
            let computed = compute(&asked)?;
            let width = computed.dim(1)?;
            let values: Vec<f32> = computed.flatten_all()?.to_vec1()?;
            let mut rest = &values[..];
            let made = asked.iter().map(|prompt| {
                let (rows, later) = rest.split_at(prompt.ids().len() * width);
                rest = later;
                Arc::from(rows)
            });
            let made: Vec<Arc<[f32]>> = made.collect();
            self.keep(&asked, &made);
            let gaps = found.iter_mut().filter(|found| found.is_none());
            gaps.zip(made).for_each(|(gap, rows)| *gap = Some(rows));
        }
        let values: Vec<f32> = found
            .iter()
            .flatten()
            .flat_map(|rows| rows.iter())
            .copied()
            .collect();
        let rows: usize = prompts.iter().map(|prompt| prompt.ids().len()).sum();
        let shape = (rows, values.len().checked_div(rows).unwrap_or(0));
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    fn find(&self, prompts: &[&Cloze]) -> Vec<Option<Arc<[f32]>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |prompt: &&Cloze| kept.rows.get(prompt.ids()).cloned();
        prompts.iter().map(find).collect()
    }

    fn keep(&self, prompts: &[&Cloze], made: &[Arc<[f32]>]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (prompt, rows) in prompts.iter().zip(made) {
            let bytes = size_of_val(&**rows) + size_of_val(prompt.ids());
            if kept.bytes + bytes <= LIMIT {
                let before = kept.rows.insert(prompt.ids().to_vec(), Arc::clone(rows));
                kept.bytes += if before.is_none() { bytes } else { 0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Encoded;

    #[test]
    fn each_prompt_is_computed_once() {
        let prompts = [vec![7, 8], vec![9], vec![1, 2, 3]].map(|ids| (ids, 0));
        let encoded = Encoded::new(prompts.into()).unwrap();
        let [one, two, three] = encoded.prompts() else {
            panic!("three prompts");
        };
        let lower = Lower::new(1);
        // Two columns: the id, and its double.
        let compute = |prompts: &[&Cloze]| {
            let ids = prompts.iter().flat_map(|prompt| prompt.ids());
            let rows: Vec<f32> = ids.flat_map(|&id| [id as f32, 2.0 * id as f32]).collect();
            Ok(Tensor::from_vec(
                rows.clone(),
                (rows.len() / 2, 2),
                &Device::Cpu,
            )?)
        };
        let first = lower.rows(&[one, two], compute).unwrap();
        assert_eq!(
            first.to_vec2::<f32>().unwrap(),
            [[7.0, 14.0], [8.0, 16.0], [9.0, 18.0]]
        );
        let mut asked = 0;
        let counting = |prompts: &[&Cloze]| {
            asked = prompts.len();
            compute(prompts)
        };
        let second = lower.rows(&[two, three, one], counting).unwrap();
        assert_eq!(asked, 1);
        let ids: Vec<Vec<f32>> = second.to_vec2().unwrap();
        let ids: Vec<f32> = ids.iter().map(|row| row[0]).collect();
        assert_eq!(ids, [9.0, 1.0, 2.0, 3.0, 7.0, 8.0]);
    }
}
