//! Texts by label: stacks to draw from, and draws by a mix of labels.

use super::portable::apportion;

/// Texts not yet given away, by label; the next one to draw is last.
#[derive(Clone, Debug)]
pub(super) struct Stacks(Vec<Vec<usize>>);

impl Stacks {
    /// Stacks of these texts, to be drawn in their order.
    pub(super) fn new(texts: &[usize], labels: &[usize], classes: usize) -> Self {
        let mut stacks = vec![Vec::new(); classes];
        for &text in texts.iter().rev() {
            stacks[labels[text]].push(text);
        }
        Self(stacks)
    }

    /// At most `count` texts whose labels come as near to `mix` as what is left allows.
    pub(super) fn draw(&mut self, count: usize, mix: &[f64]) -> Vec<usize> {
        let mut drawn = Vec::with_capacity(count);
        loop {
            // A label that ran out leaves its part to the others.
            let left = self
                .0
                .iter()
                .map(|stack| f64::from(u8::from(!stack.is_empty())));
            let left: Vec<f64> = left.collect();
            let missing = count - drawn.len();
            if missing == 0 || left.iter().all(|left| *left == 0.0) {
                return drawn;
            }
            let weights: Vec<f64> = mix
                .iter()
                .zip(&left)
                .map(|(mix, left)| mix * left)
                .collect();
            let weights = match weights.iter().sum::<f64>() > 0.0 {
                true => weights,
                false => left,
            };
            for (stack, wanted) in self.0.iter_mut().zip(apportion(missing, &weights)) {
                let kept = stack.len() - wanted.min(stack.len());
                drawn.extend(stack.drain(kept..).rev());
            }
        }
    }
}

/// Number of labels: one more than the largest.
pub(super) fn classes(labels: &[usize]) -> usize {
    labels.iter().max().map_or(0, |most| most + 1)
}

/// Share of each label among the texts.
pub(super) fn prior(labels: &[usize]) -> Vec<f64> {
    let mut prior = vec![0.0; classes(labels)];
    for &label in labels {
        prior[label] += 1.0 / labels.len() as f64;
    }
    prior
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_mix_until_a_label_runs_out() {
        let labels = [0, 0, 0, 0, 1, 1];
        let mut stacks = Stacks::new(&[0, 1, 2, 3, 4, 5], &labels, 2);
        assert_eq!(stacks.draw(3, &[0.34, 0.66]), [0, 4, 5]);
        assert_eq!(stacks.draw(2, &[0.1, 0.9]), [1, 2]);
        assert_eq!(stacks.draw(9, &[0.0, 1.0]), [3]);
        assert!(stacks.draw(9, &[0.5, 0.5]).is_empty());
    }
}
