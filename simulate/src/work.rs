//! One client's work of one round: the real learner, and what an attacker makes of its result.

use fl_core::adapter::Adapter;
use fl_core::random::client_round;
use fl_core::soft_labels::SoftSet;
use learner::{Learner, LocalRound, Outcome, Step};

use crate::chance::{Chance, normal, stream};
use crate::error::Result;
use crate::experiment::Attack;
use crate::scene::{Client, Scene};

/// What a client keeps between rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// The labels that its last finished round left.
    pub(crate) soft: SoftSet,
    /// Its calibration, once it has worked.
    pub(crate) offsets: Option<Vec<f32>>,
}

/// Result of the work.
pub(crate) struct Done {
    /// For the report.
    pub(crate) outcome: Outcome,
    /// What the client keeps.
    pub(crate) memory: Memory,
}

/// Does a client's work from the adapter that `learner` has loaded.
///
/// # Errors
/// Those of [`LocalRound`].
pub(crate) fn work(
    scene: &Scene,
    client: &Client,
    learner: &Learner,
    memory: &Memory,
    round: u32,
) -> Result<Done> {
    let texts = scene.texts(client);
    // The base model's prior over the client's own texts, as in production.
    let offsets = match &memory.offsets {
        Some(offsets) => offsets.clone(),
        None => scene.learner.prior(&texts.all())?,
    };
    let mut learner = learner.clone();
    learner.calibrate(offsets.clone())?;
    let global = match client.attack {
        None | Some(Attack::LabelFlip {}) => None,
        Some(_) => Some(learner.adapter()),
    };
    let soft = memory.soft.clone();
    let mut work = LocalRound::new(learner, &scene.settings, round, client.number, &texts, soft)?;
    let mut outcome = loop {
        if let Step::Finished(outcome) = work.step()? {
            break outcome;
        }
    };
    if let (Some(attack), Some(global)) = (client.attack, global) {
        let index = client_round(client.number, round);
        harm(
            &mut outcome.adapter,
            &global,
            attack,
            scene.settings.seed,
            index,
        );
    }
    Ok(Done {
        outcome,
        memory: Memory {
            soft: work.into_soft(),
            offsets: Some(offsets),
        },
    })
}

fn harm(adapter: &mut Adapter, global: &Adapter, attack: Attack, seed: u32, index: u64) {
    let mut rng = stream(seed, Chance::Noise, index);
    for (name, matrix) in &mut adapter.matrices {
        let Some(before) = global.matrices.get(name) else {
            continue;
        };
        for (value, before) in matrix.values.iter_mut().zip(&before.values) {
            *value = match attack {
                Attack::LabelFlip {} => *value,
                Attack::ScaledUpdate { factor } => before + factor * (*value - before),
                Attack::RandomUpdate { deviation } => before + deviation * normal(&mut rng) as f32,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use fl_core::adapter::Matrix;

    use super::*;

    fn row(values: &[f32]) -> Adapter {
        let matrix = Matrix {
            rows: 1,
            columns: values.len(),
            values: values.to_vec(),
        };
        Adapter {
            matrices: [("a".to_owned(), matrix)].into(),
        }
    }

    #[test]
    fn attacks_are_what_they_say() {
        let (before, after) = (row(&[1.0, 2.0]), row(&[2.0, 0.0]));
        let harmed = |attack| {
            let mut adapter = after.clone();
            harm(&mut adapter, &before, attack, 1, 2);
            adapter.matrices["a"].values.clone()
        };
        assert_eq!(harmed(Attack::LabelFlip {}), [2.0, 0.0]);
        assert_eq!(harmed(Attack::ScaledUpdate { factor: -2.0 }), [-1.0, 6.0]);
        assert_eq!(harmed(Attack::RandomUpdate { deviation: 0.0 }), [1.0, 2.0]);
        let random = harmed(Attack::RandomUpdate { deviation: 1.0 });
        assert!(random[0] != 1.0 && random[1] != 2.0);
    }
}
