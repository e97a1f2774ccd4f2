//! Quality on labelled texts: accuracy, macro F1, loss, confusion matrix.

use fl_core::soft_labels::most_likely;
use serde::Serialize;

use crate::Result;
use crate::error::LearnerError;

/// Quality of an adapter on labelled texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Share labelled right.
    pub accuracy: f32,
    /// Unweighted mean of the labels' F1; a label that neither occurs nor is predicted counts 0,
    /// as in scikit-learn.
    pub macro_f1: f32,
    /// Mean cross-entropy in nats.
    pub loss: f32,
    /// Texts.
    pub count: u32,
    /// `confusion[true label][predicted label]`.
    pub confusion: Vec<Vec<u32>>,
}

/// Adds up an evaluation batch by batch, so that the caller can yield between.
#[derive(Clone, Debug)]
pub struct Tally {
    loss: f64,
    confusion: Vec<Vec<u32>>,
}

impl Tally {
    /// An empty tally for a task of `labels` labels.
    pub fn new(labels: usize) -> Self {
        Self {
            loss: 0.0,
            confusion: vec![vec![0; labels]; labels],
        }
    }

    /// Adds texts by their label scores and true labels.
    ///
    /// # Errors
    /// [`LearnerError::Argument`] when the counts differ or a label is not of the task.
    pub fn add(&mut self, scores: &[Vec<f32>], labels: &[usize]) -> Result<()> {
        if scores.len() != labels.len() {
            return Err(LearnerError::argument(
                "labels to evaluate",
                scores.len(),
                labels.len(),
            ));
        }
        let count = self.confusion.len();
        for (scores, &label) in scores.iter().zip(labels) {
            if label >= count || scores.len() != count {
                let got = format!("label {label} with {} scores", scores.len());
                let expected = format!("a label below {count} with {count} scores");
                return Err(LearnerError::argument("evaluation", expected, got));
            }
            self.loss += f64::from(log_sum_exp(scores) - scores[label]);
            self.confusion[label][most_likely(scores).0] += 1;
        }
        Ok(())
    }

    /// The evaluation of everything added; all zero when nothing was.
    pub fn evaluation(&self) -> Evaluation {
        let labels = self.confusion.len();
        let count: u32 = self.confusion.iter().flatten().sum();
        let right: u32 = (0..labels).map(|label| self.confusion[label][label]).sum();
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let f1 = |label: usize| {
            let truly: u32 = self.confusion[label].iter().sum();
            let predicted: u32 = self.confusion.iter().map(|row| row[label]).sum();
            let both = 2.0 * f64::from(self.confusion[label][label]);
            share(both, f64::from(truly) + f64::from(predicted))
        };
        Evaluation {
            accuracy: share(right.into(), count.into()) as f32,
            macro_f1: share((0..labels).map(f1).sum(), labels as f64) as f32,
            loss: share(self.loss, count.into()) as f32,
            count,
            confusion: self.confusion.clone(),
        }
    }
}

/// ln Σ exp(score), without overflow.
pub(crate) fn log_sum_exp(scores: &[f32]) -> f32 {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    most + scores.iter().map(|s| (s - most).exp()).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_add_up_to_known_numbers() {
        let mut tally = Tally::new(2);
        let two = |a: f32, b: f32| vec![a, b];
        tally.add(&[two(2.0, 0.0), two(0.0, 1.0)], &[0, 0]).unwrap();
        tally.add(&[two(0.0, 3.0)], &[1]).unwrap();
        let evaluation = tally.evaluation();
        assert_eq!(evaluation.confusion, [[1, 1], [0, 1]]);
        assert_eq!(evaluation.count, 3);
        assert!((evaluation.accuracy - 2.0 / 3.0).abs() < 1e-6);
        assert!((evaluation.macro_f1 - 2.0 / 3.0).abs() < 1e-6);
        // (ln(1+e^-2) + ln(1+e^1) + ln(1+e^-3)) / 3
        assert!(
            (evaluation.loss - 0.496_259).abs() < 1e-5,
            "{}",
            evaluation.loss
        );
    }

    #[test]
    fn nothing_added_is_all_zero() {
        let evaluation = Tally::new(3).evaluation();
        assert_eq!((evaluation.count, evaluation.accuracy), (0, 0.0));
    }

    #[test]
    fn labels_that_do_not_fit_are_refused() {
        let mut tally = Tally::new(2);
        assert!(tally.add(&[vec![0.0, 0.0]], &[2]).is_err());
        assert!(tally.add(&[vec![0.0]], &[0]).is_err());
        assert!(tally.add(&[], &[0]).is_err());
    }
}
