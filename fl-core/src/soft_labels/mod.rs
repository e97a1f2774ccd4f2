//! Soft labels: how many of a client's unlabelled texts get one each round, and which.
//!
//! LP-FL (arXiv 2307.13896) grows the labelled set from round to round with labels of the global
//! model; iPET (Schick and Schütze 2021) grows it by a factor, FeS (Cai et al. 2023) by a share of
//! the unlabelled texts.

mod metrics;
mod noise;
mod selection;

use std::collections::BTreeMap;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::error::SettingsError;
use crate::settings::{positive, within};

pub use self::metrics::SoftLabelMetrics;
pub use self::selection::{Selection, select};

/// How a client's unlabelled texts are put to use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct SoftLabelSettings {
    /// How many texts carry a soft label in each round.
    pub growth: Growth,
    /// Which texts are taken first.
    pub selection: Selection,
    /// Soft or hard labels.
    pub kind: LabelKind,
    /// Whether a text keeps its first label.
    pub relabel: Relabel,
    /// Temperature T of softmax(scores / T) when labels are given.
    pub temperature: f32,
    /// Weight of a soft example's loss against 1 of a gold one.
    pub weight: f32,
    /// Share of new soft labels that are replaced by another label at random: wrong labels, for
    /// experiments on robustness. 0 to 1.
    pub noise: f32,
}

impl Default for SoftLabelSettings {
    fn default() -> Self {
        Self {
            growth: Growth::Fraction { per_round: 0.1 },
            selection: Selection::ClassBalanced,
            kind: LabelKind::Hard,
            relabel: Relabel::EachRound,
            temperature: 1.0,
            weight: 0.5,
            noise: 0.0,
        }
    }
}

/// How the soft-labelled set grows. The first round always trains on gold labels alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Growth {
    /// No soft labels.
    Off,
    /// This share of the unlabelled texts more in each round (FeS).
    Fraction {
        /// Above 0, at most 1.
        per_round: f32,
    },
    /// Gold and soft together grow by this factor each round (iPET, which uses 5).
    Factor {
        /// Above 1.
        factor: f32,
    },
}

/// What a text is labelled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum LabelKind {
    /// The probabilities of all labels.
    Soft,
    /// Probability one for the most likely label, as iPET and FixMatch (Sohn et al. 2020) have it. The
    /// usual kind: labels are right more often after few rounds. The model grows surer of them than it
    /// is right, however; choose soft ones where the probabilities themselves matter.
    Hard,
}

/// Whether a text keeps its first label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Relabel {
    /// All are labelled and chosen anew each round, by the better model.
    EachRound,
    /// A label once given stays, and only new texts are added.
    Keep,
}

/// A label that the global model gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftLabel {
    /// Probability of each label, in the task's order.
    pub distribution: Vec<f32>,
    /// Largest probability before a hard label was made of it.
    pub confidence: f32,
}

impl SoftLabelSettings {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        match self.growth {
            Growth::Off => {}
            Growth::Fraction { per_round } => {
                positive("soft_labels.growth.per_round", per_round.into(), 1.0)?;
            }
            Growth::Factor { factor } => {
                within(
                    "soft_labels.growth.factor",
                    factor.into(),
                    1.000_001,
                    1_000.0,
                )?;
            }
        }
        if let Selection::Threshold { minimum } = self.selection {
            within("soft_labels.selection.minimum", minimum.into(), 0.0, 1.0)?;
        }
        within(
            "soft_labels.temperature",
            self.temperature.into(),
            0.01,
            100.0,
        )?;
        within("soft_labels.weight", self.weight.into(), 0.0, 100.0)?;
        within("soft_labels.noise", self.noise.into(), 0.0, 1.0)
    }

    /// Soft-labelled texts wanted in `round` (from 1), of `unlabelled` beside `gold` labelled ones.
    pub fn target(&self, round: u32, gold: usize, unlabelled: usize) -> usize {
        let earlier = f64::from(round.saturating_sub(1));
        let wanted = match self.growth {
            Growth::Off => 0.0,
            Growth::Fraction { per_round } => {
                (unlabelled as f64 * f64::from(per_round) * earlier).ceil()
            }
            Growth::Factor { factor } => {
                (gold as f64 * (f64::from(factor).powf(earlier) - 1.0)).floor()
            }
        };
        // The cast saturates, so a factor that overflows means every text.
        (wanted as usize).min(unlabelled)
    }
}

/// A client's soft-labelled texts, by their position among its unlabelled ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SoftSet {
    labels: BTreeMap<usize, SoftLabel>,
}

impl SoftSet {
    /// The texts and their labels.
    pub fn labels(&self) -> &BTreeMap<usize, SoftLabel> {
        &self.labels
    }

    /// Mean confidence, or 0 without labels.
    pub fn confidence(&self) -> f32 {
        let sum: f32 = self.labels.values().map(|label| label.confidence).sum();
        sum / self.labels.len().max(1) as f32
    }

    /// The texts that the global model must score before [`Self::grow`]; none when no text is due.
    pub fn candidates(
        &self,
        settings: &SoftLabelSettings,
        round: u32,
        gold: usize,
        unlabelled: usize,
    ) -> Vec<usize> {
        let target = settings.target(round, gold, unlabelled);
        match settings.relabel {
            _ if target == 0 => Vec::new(),
            Relabel::EachRound => (0..unlabelled).collect(),
            Relabel::Keep if target <= self.labels.len() => Vec::new(),
            Relabel::Keep => (0..unlabelled)
                .filter(|i| !self.labels.contains_key(i))
                .collect(),
        }
    }

    /// Takes `target` labels in all from the scored candidates (and the labels kept).
    ///
    /// `scores[i]` holds the label scores (logits) of text `candidates[i]`.
    pub fn grow(
        &mut self,
        settings: &SoftLabelSettings,
        target: usize,
        candidates: &[usize],
        scores: &[Vec<f32>],
        rng: &mut impl Rng,
    ) {
        if settings.relabel == Relabel::EachRound {
            self.labels.clear();
        }
        let missing = target.saturating_sub(self.labels.len());
        let probabilities: Vec<Vec<f32>> = scores
            .iter()
            .map(|scores| softmax(scores, settings.temperature))
            .collect();
        let chosen = select(settings.selection, &probabilities, missing, rng);
        for &chosen in &chosen {
            let distribution = &probabilities[chosen];
            let (best, confidence) = most_likely(distribution);
            let distribution = match settings.kind {
                LabelKind::Soft => distribution.clone(),
                LabelKind::Hard => (0..distribution.len())
                    .map(|l| f32::from(u8::from(l == best)))
                    .collect(),
            };
            self.labels.insert(
                candidates[chosen],
                SoftLabel {
                    distribution,
                    confidence,
                },
            );
        }
        let new: Vec<usize> = chosen
            .into_iter()
            .map(|chosen| candidates[chosen])
            .collect();
        noise::inject(&mut self.labels, &new, settings.noise, rng);
    }
}

/// softmax(scores / temperature).
pub fn softmax(scores: &[f32], temperature: f32) -> Vec<f32> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores
        .iter()
        .map(|s| ((s - most) / temperature).exp())
        .collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// The most likely label and its probability; the first of equals.
pub fn most_likely(probabilities: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (label, &probability) in probabilities.iter().enumerate() {
        if probability > best.1 {
            best = (label, probability);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::{Purpose, generator};

    fn settings(growth: Growth) -> SoftLabelSettings {
        SoftLabelSettings {
            growth,
            ..SoftLabelSettings::default()
        }
    }

    #[test]
    fn fraction_adds_a_share_each_round() {
        let settings = settings(Growth::Fraction { per_round: 0.25 });
        let targets: Vec<usize> = (1..=6).map(|round| settings.target(round, 8, 48)).collect();
        assert_eq!(targets, [0, 12, 24, 36, 48, 48]);
    }

    #[test]
    fn factor_multiplies_the_labelled_set() {
        let settings = settings(Growth::Factor { factor: 2.0 });
        let targets: Vec<usize> = (1..=5).map(|round| settings.target(round, 8, 48)).collect();
        assert_eq!(targets, [0, 8, 24, 48, 48]);
        assert_eq!(settings.target(u32::MAX, 8, 48), 48);
    }

    #[test]
    fn off_labels_nothing() {
        assert_eq!(settings(Growth::Off).target(9, 8, 48), 0);
        assert!(
            SoftSet::default()
                .candidates(&settings(Growth::Off), 9, 8, 48)
                .is_empty()
        );
    }

    #[test]
    fn keep_adds_only_new_texts() {
        let settings = SoftLabelSettings {
            relabel: Relabel::Keep,
            ..settings(Growth::Fraction { per_round: 0.25 })
        };
        let mut rng = generator(0, Purpose::SoftLabels, 0);
        let mut set = SoftSet::default();
        let candidates = set.candidates(&settings, 2, 2, 4);
        set.grow(
            &settings,
            1,
            &candidates,
            &[
                vec![0.0, 1.0],
                vec![0.0, 3.0],
                vec![0.0, 2.0],
                vec![0.0, 0.5],
            ],
            &mut rng,
        );
        let first = set.labels().clone();
        assert_eq!(first.keys().collect::<Vec<_>>(), [&1]);
        let candidates = set.candidates(&settings, 3, 2, 4);
        assert_eq!(candidates, [0, 2, 3]);
        set.grow(
            &settings,
            2,
            &candidates,
            &[vec![9.0, 0.0], vec![0.0, 0.0], vec![0.0, 0.0]],
            &mut rng,
        );
        assert_eq!(set.labels()[&1], first[&1]);
        assert_eq!(set.labels().len(), 2);
    }

    #[test]
    fn hard_label_is_one_hot() {
        let settings = SoftLabelSettings {
            kind: LabelKind::Hard,
            ..SoftLabelSettings::default()
        };
        let mut set = SoftSet::default();
        let mut rng = generator(0, Purpose::SoftLabels, 0);
        set.grow(&settings, 1, &[5], &[vec![0.0, 1.0]], &mut rng);
        assert_eq!(set.labels()[&5].distribution, [0.0, 1.0]);
        assert!((set.confidence() - 0.731).abs() < 1e-3);
    }

    proptest! {
        #[test]
        fn softmax_is_a_distribution(
            scores in prop::collection::vec(-1e4f32..1e4, 1..8), temperature in 0.01f32..100.0
        ) {
            let p = softmax(&scores, temperature);
            prop_assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-4);
            prop_assert!(p.iter().all(|p| (0.0..=1.0).contains(p)));
            prop_assert_eq!(most_likely(&p).0, most_likely(&scores).0);
        }

        #[test]
        fn target_never_shrinks(gold in 0usize..50, unlabelled in 0usize..200, per_round in 0.01f32..1.0) {
            let settings = settings(Growth::Fraction { per_round });
            let targets: Vec<_> = (1..20).map(|r| settings.target(r, gold, unlabelled)).collect();
            prop_assert!(targets.is_sorted());
            prop_assert!(targets.iter().all(|&target| target <= unlabelled));
        }
    }
}
