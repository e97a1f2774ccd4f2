//! Which of the clients' texts carry their label.

use std::collections::BTreeSet;

use rand::seq::SliceRandom;

use super::labels::{Stacks, classes};
use super::plan::Stream;
use super::portable::{apportion, dirichlet};
use super::{Deal, GoldPlacement, Share};

/// Divides each client's texts into gold and unlabelled ones.
pub(super) fn place(
    deal: &Deal,
    labels: &[usize],
    texts: Vec<Vec<usize>>,
    seed: u32,
) -> Vec<Share> {
    let classes = classes(labels);
    let counts = counts(deal, &texts, seed);
    let share = |(client, (texts, count)): (usize, (Vec<usize>, usize))| {
        let mix = match deal.gold_placement {
            GoldPlacement::Balanced | GoldPlacement::Few { .. } => vec![1.0; classes],
            GoldPlacement::Dirichlet { alpha } => {
                let mut rng = Stream::GoldLabels.generator(seed, client);
                dirichlet(&vec![alpha.into(); classes], &mut rng)
            }
        };
        let gold = Stacks::new(&texts, labels, classes).draw(count, &mix);
        let taken: BTreeSet<usize> = gold.iter().copied().collect();
        let unlabelled = texts.into_iter().filter(|text| !taken.contains(text));
        Share {
            unlabelled: unlabelled.collect(),
            gold,
        }
    };
    texts
        .into_iter()
        .zip(counts)
        .enumerate()
        .map(share)
        .collect()
}

/// Gold texts of each client: its part of its texts, at least one; or all at a few clients.
fn counts(deal: &Deal, texts: &[Vec<usize>], seed: u32) -> Vec<usize> {
    let (gold, each) = (deal.gold as usize, deal.size());
    let GoldPlacement::Few { holders } = deal.gold_placement else {
        // Rounded to the nearest, in whole numbers.
        let part = |texts: &Vec<usize>| (2 * gold * texts.len() + each) / (2 * each).max(1);
        return texts
            .iter()
            .map(|own| part(own).clamp(1, own.len().max(1)))
            .collect();
    };
    let clients = texts.len();
    // A share typed as 0.1 is a little more in binary: of ten clients it must be one.
    let wanted = (f64::from(holders) * clients as f64 - 1e-6).ceil() as usize;
    let mut order: Vec<usize> = (0..clients).collect();
    order.shuffle(&mut Stream::GoldHolders.generator(seed, 0));
    order.truncate(wanted.clamp(1, clients.max(1)));
    let mut counts = vec![0; clients];
    for (client, count) in order
        .iter()
        .zip(apportion(gold * clients, &vec![1.0; order.len()]))
    {
        counts[*client] = count.min(texts[*client].len());
    }
    counts
}
