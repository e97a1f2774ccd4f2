//! The plain deal: IID, of equal sizes and with balanced gold, whatever the number of clients.

use rand::seq::SliceRandom;

use super::labels::classes;
use super::{Deal, Share};
use crate::random::{Purpose, generator};

/// The texts of client number `shard`.
///
/// The texts are put in a seeded order in which every stretch has nearly the corpus's mix of
/// labels, and client k takes the k-th stretch. Clients beyond the corpus's size start over from
/// its beginning, so shares overlap only then. A corpus smaller than one share gives what it has,
/// gold first.
pub(super) fn share(deal: &Deal, labels: &[usize], shard: u32, seed: u32) -> Share {
    let order = stratified_order(labels, seed);
    let wanted = deal.size().min(order.len());
    let shares = (order.len() / wanted.max(1)).max(1);
    let start = (shard as usize % shares) * wanted;
    let texts = &order[start..start + wanted];
    let (gold, unlabelled) = texts.split_at(texts.len().min(deal.gold as usize));
    Share {
        gold: gold.to_vec(),
        unlabelled: unlabelled.to_vec(),
    }
}

/// All positions, shuffled within each label and then merged so that labels alternate evenly.
pub(super) fn stratified_order(labels: &[usize], seed: u32) -> Vec<usize> {
    let mut rng = generator(seed, Purpose::Partition, 0);
    let mut placed: Vec<(f64, usize)> = Vec::with_capacity(labels.len());
    for class in 0..classes(labels) {
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
