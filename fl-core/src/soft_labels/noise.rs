//! Wrong soft labels on purpose, for experiments on how much of them training bears.

use std::collections::BTreeMap;

use rand::Rng;
use rand::RngExt as _;
use rand::seq::SliceRandom;

use super::{SoftLabel, most_likely};

/// Replaces the label of this share of the texts `new` by another one, drawn evenly.
///
/// The most likely label and the other one change places, so that a label stays as soft and as
/// confident as it was. A share that is no whole number of texts is met on average. A share of 0
/// draws nothing from `rng`.
pub(super) fn inject(
    labels: &mut BTreeMap<usize, SoftLabel>,
    new: &[usize],
    share: f32,
    rng: &mut impl Rng,
) {
    if share <= 0.0 {
        return;
    }
    let wanted = f64::from(share) * new.len() as f64;
    let more = usize::from(rng.random::<f64>() < wanted.fract());
    let mut texts = new.to_vec();
    texts.shuffle(rng);
    for text in texts.iter().take(wanted as usize + more) {
        let Some(label) = labels.get_mut(text).filter(|l| l.distribution.len() > 1) else {
            continue;
        };
        let (best, _) = most_likely(&label.distribution);
        let step = rng.random_range(1..label.distribution.len());
        let other = (best + step) % label.distribution.len();
        label.distribution.swap(best, other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::{Purpose, generator};

    fn labels(count: usize, classes: usize) -> BTreeMap<usize, SoftLabel> {
        let label = |text: usize| {
            let mut distribution = vec![0.1; classes];
            distribution[text % classes] = 0.8;
            let confidence = 0.8;
            let label = SoftLabel {
                distribution,
                confidence,
            };
            (text, label)
        };
        (0..count).map(label).collect()
    }

    proptest! {
        #[test]
        fn the_share_of_labels_is_wrong(count in 1usize..60, classes in 2usize..5, share in 0f32..=1.0, seed: u32) {
            let before = labels(count, classes);
            let new: Vec<usize> = before.keys().copied().collect();
            let run = || {
                let mut after = before.clone();
                inject(&mut after, &new, share, &mut generator(seed, Purpose::SoftLabels, 0));
                after
            };
            let after = run();
            prop_assert_eq!(&after, &run());
            let best = |label: &SoftLabel| most_likely(&label.distribution).0;
            let wrong = after.iter().filter(|(text, label)| best(label) != best(&before[text])).count();
            prop_assert!((wrong as f32 - share * count as f32).abs() < 1.001);
            for (text, label) in &after {
                let sorted = |label: &SoftLabel| {
                    let mut values = label.distribution.clone();
                    values.sort_by(f32::total_cmp);
                    (values, label.confidence)
                };
                prop_assert_eq!(sorted(label), sorted(&before[text]));
            }
        }
    }

    #[test]
    fn no_noise_draws_nothing() {
        let rng = || generator(1, Purpose::SoftLabels, 0);
        let (mut used, mut fresh) = (rng(), rng());
        let mut after = labels(9, 3);
        inject(&mut after, &[1, 2, 3], 0.0, &mut used);
        assert_eq!(after, labels(9, 3));
        assert_eq!(used.random::<u64>(), fresh.random::<u64>());
    }

    #[test]
    fn kept_labels_stay_as_they_are() {
        let mut after = labels(9, 3);
        inject(
            &mut after,
            &[4, 5],
            1.0,
            &mut generator(1, Purpose::SoftLabels, 0),
        );
        for (text, label) in labels(9, 3) {
            assert_eq!(after[&text] == label, text != 4 && text != 5);
        }
    }

    #[test]
    fn one_label_cannot_be_wrong() {
        let mut after = labels(3, 1);
        inject(
            &mut after,
            &[0, 1, 2],
            1.0,
            &mut generator(1, Purpose::SoftLabels, 0),
        );
        assert_eq!(after, labels(3, 1));
    }
}
