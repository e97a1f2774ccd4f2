//! How good a round's soft labels are, in counts that add up over clients.

use std::iter::Sum;
use std::ops::AddAssign;

use serde::Serialize;

use super::{SoftLabel, SoftSet, most_likely};

/// Counts over soft labels; those of several clients add up. A soft label's answer is its most
/// likely label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SoftLabelMetrics {
    /// Unlabelled texts held.
    pub unlabelled: usize,
    /// Of these, the ones with a soft label.
    pub labelled: usize,
    /// Of those, the ones whose hidden label is known.
    pub known: usize,
    /// Of those, the ones whose answer is the hidden label.
    pub right: usize,
    /// Texts with a soft label in this round and in the one before.
    pub common: usize,
    /// Of these, the ones with the same answer in both.
    pub agreeing: usize,
    /// Sum of the confidences.
    pub confidence: f64,
}

impl SoftSet {
    /// The metrics of this round's labels among `unlabelled` texts; `before` holds those of the
    /// round before, and `hidden[i]` is the true label of unlabelled text i, where it is known.
    pub fn metrics(
        &self,
        before: &SoftSet,
        unlabelled: usize,
        hidden: &[Option<usize>],
    ) -> SoftLabelMetrics {
        let mut metrics = SoftLabelMetrics {
            unlabelled,
            labelled: self.labels.len(),
            ..SoftLabelMetrics::default()
        };
        for (text, label) in &self.labels {
            metrics.confidence += f64::from(label.confidence);
            if let Some(hidden) = hidden.get(*text).copied().flatten() {
                metrics.known += 1;
                metrics.right += usize::from(answer(label) == hidden);
            }
            if let Some(earlier) = before.labels.get(text) {
                metrics.common += 1;
                metrics.agreeing += usize::from(answer(label) == answer(earlier));
            }
        }
        metrics
    }
}

fn answer(label: &SoftLabel) -> usize {
    most_likely(&label.distribution).0
}

impl SoftLabelMetrics {
    /// Share of the unlabelled texts that have a soft label; none without texts.
    pub fn coverage(&self) -> Option<f64> {
        ratio(self.labelled, self.unlabelled)
    }

    /// Share of right answers among those whose hidden label is known; none without any.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.right, self.known)
    }

    /// Share of the texts labelled in this round and in the one before whose answer stayed; none
    /// without any.
    pub fn agreement(&self) -> Option<f64> {
        ratio(self.agreeing, self.common)
    }

    /// Mean confidence; none without soft labels.
    pub fn mean_confidence(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.confidence / self.labelled as f64)
    }
}

fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl AddAssign for SoftLabelMetrics {
    fn add_assign(&mut self, other: Self) {
        self.unlabelled += other.unlabelled;
        self.labelled += other.labelled;
        self.known += other.known;
        self.right += other.right;
        self.common += other.common;
        self.agreeing += other.agreeing;
        self.confidence += other.confidence;
    }
}

impl Sum for SoftLabelMetrics {
    fn sum<I: Iterator<Item = Self>>(clients: I) -> Self {
        let mut sum = Self::default();
        clients.for_each(|client| sum += client);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: &[(usize, f32)]) -> SoftSet {
        let label = |&(text, first): &(usize, f32)| {
            let distribution = vec![first, 1.0 - first];
            let confidence = first.max(1.0 - first);
            let label = SoftLabel {
                distribution,
                confidence,
            };
            (text, label)
        };
        SoftSet {
            labels: labels.iter().map(label).collect(),
        }
    }

    #[test]
    fn counts_are_what_they_say() {
        let before = set(&[(0, 0.75), (1, 0.75), (9, 0.75)]);
        let now = set(&[(0, 0.75), (1, 0.25), (2, 1.0), (3, 0.0)]);
        let hidden = [Some(0), Some(0), Some(0), None];
        let metrics = now.metrics(&before, 8, &hidden);
        assert_eq!(metrics.coverage(), Some(0.5));
        assert_eq!(metrics.precision(), Some(2.0 / 3.0));
        assert_eq!(metrics.agreement(), Some(0.5));
        assert_eq!(metrics.mean_confidence(), Some(0.875));
    }

    #[test]
    fn nothing_is_not_zero() {
        let metrics = SoftSet::default().metrics(&SoftSet::default(), 0, &[]);
        assert_eq!(metrics.coverage(), None);
        assert_eq!(metrics.precision(), None);
        assert_eq!(metrics.agreement(), None);
        assert_eq!(metrics.mean_confidence(), None);
    }

    #[test]
    fn clients_add_up() {
        let one = set(&[(0, 0.75)]).metrics(&set(&[]), 4, &[Some(0)]);
        let other = set(&[(0, 0.75), (1, 0.25)]).metrics(&set(&[(1, 0.1)]), 4, &[Some(1), Some(1)]);
        let sum: SoftLabelMetrics = [one, other].into_iter().sum();
        assert_eq!((sum.labelled, sum.known, sum.right), (3, 3, 2));
        assert_eq!((sum.common, sum.agreeing), (1, 1));
        assert_eq!(sum.mean_confidence(), Some(0.75));
        assert_eq!(sum.coverage(), Some(0.375));
    }
}
