//! All clients' texts at once, by the rule of the partition.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::iid::stratified_order;
use super::labels::{Stacks, classes, prior};
use super::portable::{apportion, dirichlet, exp, ln, normal};
use super::{Deal, Partition, Sizes};
use crate::error::SettingsError;
use crate::random::{Purpose, generator};

/// What a stream of the partition's random numbers is for; 0 is the order of all texts.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    LabelMix = 1,
    LabelSpread,
    LabelShards,
    Groups,
    Sizes,
    GoldLabels,
    GoldHolders,
}

impl Stream {
    /// The generator of client or label number `index`.
    pub(super) fn generator(self, seed: u32, index: usize) -> ChaCha8Rng {
        let index = (self as u64) << 32 | index as u64;
        generator(seed, Purpose::Partition, index)
    }
}

/// Each client's texts, in a random order; no text is at two clients.
pub(super) fn texts(
    deal: &Deal,
    labels: &[usize],
    groups: &[usize],
    seed: u32,
) -> Result<Vec<Vec<usize>>, SettingsError> {
    let sizes = sizes(deal, labels.len(), seed)?;
    let order = stratified_order(labels, seed);
    match deal.partition {
        Partition::Iid => Ok(stretches(&order, &sizes)),
        Partition::LabelMix { alpha } => Ok(label_mix(alpha, labels, &order, &sizes, seed)),
        Partition::LabelSpread { alpha } => {
            let pool = &order[..sizes.iter().sum()];
            Ok(label_spread(alpha, labels, pool, sizes.len(), seed))
        }
        Partition::LabelShards { per_client } => {
            let pool = &order[..sizes.iter().sum()];
            label_shards(per_client as usize, labels, pool, sizes.len(), seed)
        }
        Partition::Column { .. } if groups.len() != labels.len() => Err(SettingsError::new(
            "texts.deal.partition.column",
            format!("a value for each of {} texts", labels.len()),
            format!("{} values", groups.len()),
        )),
        Partition::Column { .. } => Ok(by_group(groups, &order, &sizes, seed)),
    }
}

/// How many texts each client gets.
fn sizes(deal: &Deal, texts: usize, seed: u32) -> Result<Vec<usize>, SettingsError> {
    let (clients, each) = (deal.clients as usize, deal.size());
    if clients == 0 || clients.saturating_mul(each) > texts {
        let most = texts / each.max(1);
        return Err(SettingsError::new(
            "texts.deal.clients",
            format!("1 to {most} clients of {each} texts, for the corpus has {texts}"),
            clients.to_string(),
        ));
    }
    let mut rng = Stream::Sizes.generator(seed, 0);
    let weights: Vec<f64> = match deal.sizes {
        Sizes::Equal => return Ok(vec![each; clients]),
        Sizes::LogNormal { sigma } => {
            let weight = |_| exp(f64::from(sigma) * normal(&mut rng));
            (0..clients).map(weight).collect()
        }
        Sizes::PowerLaw { exponent } => {
            let mut ranks: Vec<usize> = (1..=clients).collect();
            ranks.shuffle(&mut rng);
            let weight = |rank: usize| exp(-f64::from(exponent) * ln(rank as f64));
            ranks.into_iter().map(weight).collect()
        }
    };
    let more = apportion(clients * (each - 1), &weights);
    Ok(more.into_iter().map(|more| more + 1).collect())
}

fn stretches(order: &[usize], sizes: &[usize]) -> Vec<Vec<usize>> {
    let mut rest = order;
    let take = |&size: &usize| {
        let (stretch, left) = rest.split_at(size.min(rest.len()));
        rest = left;
        stretch.to_vec()
    };
    sizes.iter().map(take).collect()
}

fn label_mix(
    alpha: f32,
    labels: &[usize],
    order: &[usize],
    sizes: &[usize],
    seed: u32,
) -> Vec<Vec<usize>> {
    let prior = prior(labels);
    let parameters: Vec<f64> = prior.iter().map(|p| p * f64::from(alpha)).collect();
    let mut stacks = Stacks::new(order, labels, prior.len());
    let draw = |(client, &size): (usize, &usize)| {
        let mut rng = Stream::LabelMix.generator(seed, client);
        let mut texts = stacks.draw(size, &dirichlet(&parameters, &mut rng));
        texts.shuffle(&mut rng);
        texts
    };
    sizes.iter().enumerate().map(draw).collect()
}

fn label_spread(
    alpha: f32,
    labels: &[usize],
    pool: &[usize],
    clients: usize,
    seed: u32,
) -> Vec<Vec<usize>> {
    let mut parts = vec![Vec::new(); clients];
    for label in 0..classes(labels) {
        let mut rng = Stream::LabelSpread.generator(seed, label);
        let texts: Vec<usize> = pool
            .iter()
            .copied()
            .filter(|&t| labels[t] == label)
            .collect();
        let shares = dirichlet(&vec![alpha.into(); clients], &mut rng);
        let counts = apportion(texts.len(), &shares);
        for (part, more) in parts.iter_mut().zip(stretches(&texts, &counts)) {
            part.extend(more);
        }
    }
    // Nobody without a text: the largest part gives one. There are as many texts as clients.
    while let Some(empty) = parts.iter().position(Vec::is_empty) {
        let largest = parts.iter_mut().max_by_key(|part| part.len());
        match largest.and_then(Vec::pop) {
            Some(text) => parts[empty].push(text),
            None => break,
        }
    }
    let mut rng = Stream::LabelSpread.generator(seed, u32::MAX as usize);
    parts.iter_mut().for_each(|part| part.shuffle(&mut rng));
    parts
}

fn label_shards(
    per_client: usize,
    labels: &[usize],
    pool: &[usize],
    clients: usize,
    seed: u32,
) -> Result<Vec<Vec<usize>>, SettingsError> {
    let shards = per_client * clients;
    if shards > pool.len() {
        return Err(SettingsError::new(
            "texts.deal.partition.per_client",
            format!(
                "at most {} shards a client, for {clients} clients share {} texts",
                pool.len() / clients.max(1),
                pool.len()
            ),
            per_client.to_string(),
        ));
    }
    let mut sorted = pool.to_vec();
    sorted.sort_by_key(|&text| labels[text]);
    let mut shards = stretches(&sorted, &apportion(pool.len(), &vec![1.0; shards]));
    let mut rng = Stream::LabelShards.generator(seed, 0);
    shards.shuffle(&mut rng);
    let client = |shards: &[Vec<usize>]| {
        let mut texts = shards.concat();
        texts.shuffle(&mut rng);
        texts
    };
    Ok(shards.chunks(per_client).map(client).collect())
}

/// Groups go, largest first, to the client with the fewest texts; with fewer groups than clients
/// each next client joins the group with the most texts for one client. Nobody gets more than its
/// size.
fn by_group(groups: &[usize], order: &[usize], sizes: &[usize], seed: u32) -> Vec<Vec<usize>> {
    let mut rng = Stream::Groups.generator(seed, 0);
    let mut members = vec![Vec::new(); classes(groups)];
    for &text in order {
        members[groups[text]].push(text);
    }
    members.retain(|texts| !texts.is_empty());
    members.shuffle(&mut rng);
    members.sort_by_key(|texts| std::cmp::Reverse(texts.len()));
    let mut parts: Vec<Vec<usize>> = Vec::new();
    if members.len() >= sizes.len() {
        parts.resize(sizes.len(), Vec::new());
        for group in members {
            let least = parts.iter_mut().min_by_key(|part| part.len());
            least.into_iter().for_each(|part| part.extend(&group));
        }
    } else {
        let mut clients = vec![1; members.len()];
        for _ in members.len()..sizes.len() {
            let crowd = |&group: &usize| members[group].len() / clients[group];
            // Of equals the first, which `max_by_key` would not give.
            if let Some(group) = (0..members.len()).rev().max_by_key(crowd) {
                clients[group] += 1;
            }
        }
        for (texts, clients) in members.iter().zip(clients) {
            parts.extend(stretches(
                texts,
                &apportion(texts.len(), &vec![1.0; clients]),
            ));
        }
    }
    parts.shuffle(&mut rng);
    for (part, &size) in parts.iter_mut().zip(sizes) {
        part.shuffle(&mut rng);
        part.truncate(size);
    }
    parts
}
