//! Which texts get a soft label first.

use std::collections::BTreeMap;

use rand::Rng;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};

use super::most_likely;

/// Which texts are taken first. Confidence is the largest label probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Selection {
    /// Drawn without replacement with probability in proportion to the confidence (iPET).
    ConfidenceSample,
    /// The most confident.
    TopConfidence,
    /// The most confident of each predicted label in turn, so that labels stay balanced.
    ClassBalanced,
    /// The most confident, but none below a confidence (FedMatch 0.75, SemiFL 0.95).
    Threshold {
        /// 0 to 1.
        minimum: f32,
    },
}

/// At most `count` positions of `probabilities`, by the rule.
pub fn select(
    rule: Selection,
    probabilities: &[Vec<f32>],
    count: usize,
    rng: &mut impl Rng,
) -> Vec<usize> {
    let confidence: Vec<f32> = probabilities.iter().map(|p| most_likely(p).1).collect();
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    let by_confidence = |a: &usize, b: &usize| confidence[*b].total_cmp(&confidence[*a]);
    match rule {
        Selection::TopConfidence => order.sort_by(by_confidence),
        Selection::Threshold { minimum } => {
            order.retain(|&i| confidence[i] >= minimum);
            order.sort_by(by_confidence);
        }
        Selection::ConfidenceSample => {
            // The largest of u^(1/w) are a weighted sample without replacement (Efraimidis and
            // Spirakis 2006); ln(u)/w has the same order and does not underflow.
            let keys: Vec<f32> = confidence
                .iter()
                .map(|&w| (1.0 - rng.random::<f32>()).ln() / w.max(1e-9))
                .collect();
            order.sort_by(|&a, &b| keys[b].total_cmp(&keys[a]));
        }
        Selection::ClassBalanced => {
            order.sort_by(by_confidence);
            let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
            let mut rank = vec![0; order.len()];
            for &text in &order {
                let of_label = taken
                    .entry(most_likely(&probabilities[text]).0)
                    .or_default();
                rank[text] = *of_label;
                *of_label += 1;
            }
            order.sort_by_key(|&text| rank[text]);
        }
    }
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, generator};

    fn two(first: f32) -> Vec<f32> {
        vec![first, 1.0 - first]
    }

    #[test]
    fn class_balanced_alternates_labels() {
        let mut rng = generator(0, Purpose::SoftLabels, 0);
        let probabilities = [two(0.9), two(0.8), two(0.7), two(0.4), two(0.3)];
        let mut chosen = select(Selection::ClassBalanced, &probabilities, 4, &mut rng);
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 3, 4]);
    }

    #[test]
    fn threshold_tests_the_maximum() {
        // Not the first label's probability: text 1 is confident in the second label.
        let mut rng = generator(0, Purpose::SoftLabels, 0);
        let probabilities = [two(0.6), two(0.05), two(0.8)];
        let rule = Selection::Threshold { minimum: 0.75 };
        assert_eq!(select(rule, &probabilities, 9, &mut rng), [1, 2]);
    }

    #[test]
    fn confidence_sample_prefers_the_confident() {
        let mut rng = generator(3, Purpose::SoftLabels, 0);
        let probabilities = [vec![0.9, 0.1, 0.0], vec![0.3, 0.3, 0.4]];
        let first = (0..2000)
            .filter(|_| select(Selection::ConfidenceSample, &probabilities, 1, &mut rng) == [0])
            .count();
        // 0.9 / (0.9 + 0.4) = 0.692; three standard deviations are 0.031.
        assert!((0.66..0.73).contains(&(first as f64 / 2000.0)), "{first}");
    }
}
