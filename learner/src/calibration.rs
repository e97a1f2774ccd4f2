//! Offsets of the label scores: how far a model favours each label whatever the text says.

use fl_core::task::Calibration;

/// Most texts that a prior is taken over; more would cost time and change little.
pub const PRIOR_TEXTS: usize = 512;

/// Texts that say nothing, for [`Calibration::ContentFree`] (Zhao et al. 2021 average over such
/// a few).
pub(crate) const CONTENT_FREE: [&str; 2] = ["", "N/A"];

/// The offset of each label from the label scores of the texts that the calibration looks at;
/// none at all for [`Calibration::None`] or without a text.
///
/// Only differences between labels matter. For [`Calibration::Unlabelled`] and two labels the
/// offsets differ by the median of the scores' difference, otherwise they are the mean scores.
pub(crate) fn offsets(calibration: Calibration, scores: &[Vec<f32>]) -> Vec<f32> {
    let Some(first) = scores.first() else {
        return Vec::new();
    };
    match calibration {
        Calibration::None => Vec::new(),
        Calibration::Unlabelled if first.len() == 2 => {
            let half = median(scores.iter().map(|scores| scores[1] - scores[0])) / 2.0;
            vec![-half, half]
        }
        Calibration::ContentFree | Calibration::Unlabelled => (0..first.len())
            .map(|label| {
                let sum: f64 = scores.iter().map(|scores| f64::from(scores[label])).sum();
                (sum / scores.len() as f64) as f32
            })
            .collect(),
    }
}

/// At most [`PRIOR_TEXTS`] of so many texts, evenly spread.
pub(crate) fn sample<T>(texts: &[T]) -> impl Iterator<Item = &T> {
    let count = texts.len().min(PRIOR_TEXTS);
    (0..count).map(move |index| &texts[index * texts.len() / count])
}

/// The middle value, or the mean of the two in the middle.
fn median(values: impl Iterator<Item = f32>) -> f32 {
    let mut values: Vec<f32> = values.collect();
    values.sort_by(f32::total_cmp);
    let (low, high) = ((values.len() - 1) / 2, values.len() / 2);
    (values[low] + values[high]) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn offsets_are_mean_scores_or_the_median_difference() {
        let three = [vec![1.0, 2.0, 6.0], vec![3.0, 2.0, 0.0]];
        assert_eq!(offsets(Calibration::ContentFree, &three), [2.0, 2.0, 3.0]);
        assert_eq!(offsets(Calibration::Unlabelled, &three), [2.0, 2.0, 3.0]);
        let two = [vec![0.0, 1.0], vec![0.0, 2.0], vec![0.0, 90.0]];
        assert_eq!(offsets(Calibration::Unlabelled, &two), [-1.0, 1.0]);
        assert_eq!(offsets(Calibration::ContentFree, &two), [0.0, 31.0]);
        assert!(offsets(Calibration::None, &two).is_empty());
        assert!(offsets(Calibration::Unlabelled, &[]).is_empty());
    }

    #[test]
    fn a_sample_is_spread_over_all_texts() {
        let texts: Vec<usize> = (0..PRIOR_TEXTS * 2).collect();
        let sample: Vec<usize> = sample(&texts).copied().collect();
        assert_eq!((sample.len(), sample[1]), (PRIOR_TEXTS, 2));
        assert_eq!(self::sample(&texts[..3]).count(), 3);
        assert_eq!(self::sample::<u8>(&[]).count(), 0);
    }

    proptest! {
        #[test]
        fn half_of_the_texts_fall_on_each_side(
            scores in proptest::collection::vec((-9f32..9.0, -9f32..9.0), 1..80),
        ) {
            let scores: Vec<Vec<f32>> = scores.into_iter().map(|(a, b)| vec![a, b]).collect();
            let offsets = offsets(Calibration::Unlabelled, &scores);
            let margin = |s: &Vec<f32>| (s[1] - offsets[1]) - (s[0] - offsets[0]);
            // A text in the very middle may fall to either side, by rounding.
            let above = scores.iter().filter(|s| margin(s) > 1e-4).count();
            let below = scores.iter().filter(|s| margin(s) < -1e-4).count();
            prop_assert!(above <= scores.len() / 2 && below <= scores.len() / 2);
        }
    }
}
