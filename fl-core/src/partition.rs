//! Which texts of a corpus a client holds.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::error::SettingsError;
use crate::random::{Purpose, generator};
use crate::settings::within;

/// How much of a corpus one client holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Deal {
    /// Labelled texts per client, balanced over the labels.
    pub gold: u32,
    /// Texts per client whose labels are hidden from it.
    pub unlabelled: u32,
}

impl Default for Deal {
    fn default() -> Self {
        Self {
            gold: 8,
            unlabelled: 48,
        }
    }
}

/// One client's texts, as positions in the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Labelled texts.
    pub gold: Vec<usize>,
    /// Unlabelled texts.
    pub unlabelled: Vec<usize>,
}

impl Deal {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        within("texts.deal.gold", self.gold.into(), 1.0, 10_000.0)?;
        within(
            "texts.deal.unlabelled",
            self.unlabelled.into(),
            0.0,
            100_000.0,
        )
    }

    /// The texts of client number `shard` in an IID deal.
    ///
    /// The texts are put in a seeded order in which every stretch has nearly the corpus's mix of
    /// labels, and client k takes the k-th stretch. Clients beyond the corpus's size start over
    /// from its beginning, so shares overlap only then. `labels[i]` is the label of text i. A
    /// corpus smaller than one share gives what it has, gold first.
    pub fn share(&self, labels: &[usize], shard: u32, seed: u32) -> Share {
        let order = stratified_order(labels, seed);
        let (gold, unlabelled) = (self.gold as usize, self.unlabelled as usize);
        let wanted = (gold + unlabelled).min(order.len());
        let shares = (order.len() / wanted.max(1)).max(1);
        let start = (shard as usize % shares) * wanted;
        let texts = &order[start..start + wanted];
        let (gold, unlabelled) = texts.split_at(gold.min(texts.len()));
        Share {
            gold: gold.to_vec(),
            unlabelled: unlabelled.to_vec(),
        }
    }
}

/// All positions, shuffled within each label and then merged so that labels alternate evenly.
fn stratified_order(labels: &[usize], seed: u32) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let mut rng = generator(seed, Purpose::Partition, 0);
    let mut placed: Vec<(f64, usize)> = Vec::with_capacity(labels.len());
    for class in 0..classes {
        let mut texts: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == class).collect();
        texts.shuffle(&mut rng);
        let count = texts.len() as f64;
        placed.extend(
            texts
                .into_iter()
                .enumerate()
                .map(|(i, t)| ((i as f64 + 0.5) / count, t)),
        );
    }
    placed.sort_by(|a, b| a.0.total_cmp(&b.0).then(labels[a.1].cmp(&labels[b.1])));
    placed.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_within_the_corpus_do_not_overlap(
            labels in prop::collection::vec(0usize..3, 60..200), seed: u32
        ) {
            let deal = Deal { gold: 4, unlabelled: 16 };
            let mut seen = vec![false; labels.len()];
            for shard in 0..labels.len() as u32 / 20 {
                let share = deal.share(&labels, shard, seed);
                for text in share.gold.into_iter().chain(share.unlabelled) {
                    prop_assert!(!std::mem::replace(&mut seen[text], true));
                }
            }
        }

        #[test]
        fn gold_is_balanced(shard in 0u32..40, seed: u32) {
            let labels: Vec<usize> = (0..900).map(|i| i % 2).collect();
            let share = Deal::default().share(&labels, shard, seed);
            prop_assert_eq!(share.gold.iter().filter(|&&i| labels[i] == 0).count(), 4);
        }
    }

    #[test]
    fn small_corpus_gives_what_it_has() {
        let share = Deal {
            gold: 4,
            unlabelled: 9,
        }
        .share(&[0, 1, 0], 7, 1);
        assert_eq!((share.gold.len(), share.unlabelled.len()), (3, 0));
        let nothing = Deal::default().share(&[], 0, 0);
        assert!(nothing.gold.is_empty() && nothing.unlabelled.is_empty());
    }
}
