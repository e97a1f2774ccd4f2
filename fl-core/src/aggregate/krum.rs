//! Krum and Multi-Krum (Blanchard et al. 2017, arXiv 1703.02757): each update is scored by the sum
//! of the squared distances to its n − f − 2 nearest others; Krum takes the update of the least
//! score, Multi-Krum the mean of the m with the least.
//!
//! The updates are the clients' adapters as one vector; that their distances are those of their
//! differences from the global adapter is why none is subtracted. Every client counts the same.
//! n ≥ 2·f + 3 updates are needed, of which f may be hostile.

use super::{AggregateError, Update, WeightedMean};
use crate::adapter::{Adapter, AdapterLayout};
use crate::protocol::Exclusion;
use crate::settings::Rule;

/// The mean of the updates that the rule chooses, and the clients of the others.
pub(super) fn aggregate(
    layout: &AdapterLayout,
    updates: &[Update],
    rule: Rule,
    attackers: u32,
) -> Result<(Adapter, Vec<Exclusion>), AggregateError> {
    let (attackers, got) = (attackers as usize, updates.len());
    let needed = rule.needs() as usize;
    if got > 0 && got < needed {
        let rule = rule.name();
        return Err(AggregateError::TooFew { rule, needed, got });
    }
    let count = match rule {
        Rule::MultiKrum { chosen: 0, .. } => got.saturating_sub(attackers),
        Rule::MultiKrum { chosen, .. } => chosen as usize,
        _ => 1,
    };
    let best = chosen(updates, attackers, count);
    let mut sum = WeightedMean::new(layout.clone());
    for &index in &best {
        sum.add(&updates[index].adapter, 1.0);
    }
    let adapter = sum.mean().ok_or(AggregateError::Nothing)?;
    let left_out = (0..got).filter(|index| !best.contains(index));
    let excluded = left_out.map(|index| Exclusion {
        client: updates[index].client,
        reason: "others lie closer together".into(),
    });
    Ok((adapter, excluded.collect()))
}

/// The positions of the `chosen` updates of the least score, best first; of equals the first.
fn chosen(updates: &[Update], attackers: usize, chosen: usize) -> Vec<usize> {
    let neighbours = updates.len().saturating_sub(attackers + 2);
    let scores = scores(updates, neighbours);
    let mut order: Vec<usize> = (0..updates.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order.truncate(chosen);
    order
}

fn scores(updates: &[Update], neighbours: usize) -> Vec<f64> {
    let count = updates.len();
    let mut distances = vec![0.0; count * count];
    for i in 0..count {
        for j in 0..i {
            let distance = squared_distance(&updates[i].adapter, &updates[j].adapter);
            distances[i * count + j] = distance;
            distances[j * count + i] = distance;
        }
    }
    let score = |i: usize| {
        let others = (0..count).filter(|&j| j != i);
        let mut nearest: Vec<f64> = others.map(|j| distances[i * count + j]).collect();
        nearest.sort_unstable_by(f64::total_cmp);
        nearest.iter().take(neighbours).sum()
    };
    (0..count).map(score).collect()
}

/// ‖a − b‖² over all values of two adapters of one layout.
pub(super) fn squared_distance(a: &Adapter, b: &Adapter) -> f64 {
    let matrices = a.matrices.values().zip(b.matrices.values());
    matrices
        .flat_map(|(a, b)| a.values.iter().zip(&b.values))
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::aggregate::AggregateError;
    use crate::aggregate::testing::{aggregated, row, values};
    use crate::protocol::ClientId;
    use crate::settings::Rule;

    fn sent(clients: &[[f32; 2]]) -> Vec<(crate::adapter::Adapter, f64)> {
        let counts = [9.0, 1.0, 4.0];
        let client = |(index, values): (usize, &[f32; 2])| (row(values), counts[index % 3]);
        clients.iter().enumerate().map(client).collect()
    }

    #[test]
    fn known_choice_is_made() {
        // n = 5, f = 1: two neighbours each. On a line at 0, 1, 3, 7, 100 the sums of the two
        // least squares are 1+9, 1+4, 4+9, 16+36 and 93²+97².
        let clients = [[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [7.0, 0.0], [100.0, 0.0]];
        let krum = Rule::Krum { attackers: 1 };
        let made = aggregated(krum, &row(&[0.0; 2]), 1, &sent(&clients)).unwrap();
        assert_eq!(values(&made.adapter), [1.0, 0.0]);
        let left_out: Vec<ClientId> = made.excluded.iter().map(|one| one.client).collect();
        assert_eq!(left_out, [1, 3, 4, 5].map(ClientId));

        let multi = |chosen| {
            let rule = Rule::MultiKrum {
                attackers: 1,
                chosen,
            };
            let made = aggregated(rule, &row(&[0.0; 2]), 1, &sent(&clients)).unwrap();
            values(&made.adapter)[0]
        };
        assert_eq!(multi(2), 0.5, "of 0 and 1");
        assert_eq!(multi(0), 2.75, "of all but one");
    }

    #[test]
    fn too_few_updates_are_refused() {
        let krum = Rule::Krum { attackers: 2 };
        let error = aggregated(krum, &row(&[0.0; 2]), 1, &sent(&[[0.0; 2]; 6])).unwrap_err();
        let expected = AggregateError::TooFew {
            rule: "krum",
            needed: 7,
            got: 6,
        };
        assert_eq!(error, expected);
    }

    proptest! {
        #[test]
        fn choice_is_the_definitions_argmin(
            clients in prop::collection::vec([-10f32..10.0, -10f32..10.0], 7)
        ) {
            let square = |a: &[f32; 2], b: &[f32; 2]| {
                (0..2).map(|i| (f64::from(a[i]) - f64::from(b[i])).powi(2)).sum::<f64>()
            };
            let score = |one: &[f32; 2]| {
                let mut all: Vec<f64> = clients.iter().map(|other| square(one, other)).collect();
                all.sort_by(f64::total_cmp);
                // The nearest is the update itself.
                all[1..=3].iter().sum::<f64>()
            };
            let best = clients.iter().min_by(|a, b| score(a).total_cmp(&score(b))).unwrap();
            let krum = Rule::Krum { attackers: 2 };
            let made = aggregated(krum, &row(&[0.0; 2]), 1, &sent(&clients)).unwrap();
            prop_assert_eq!(values(&made.adapter), best);
        }

        #[test]
        fn far_attackers_are_left_out(
            honest in prop::collection::vec([-1f32..1.0, -1f32..1.0], 5), bad in prop::collection::vec([50f32..90.0, 50f32..90.0], 2)
        ) {
            let all: Vec<[f32; 2]> = bad.into_iter().chain(honest).collect();
            let rule = Rule::MultiKrum { attackers: 2, chosen: 3 };
            let made = aggregated(rule, &row(&[0.0; 2]), 1, &sent(&all)).unwrap();
            prop_assert!(values(&made.adapter).iter().all(|value| value.abs() <= 1.0));
        }
    }
}
