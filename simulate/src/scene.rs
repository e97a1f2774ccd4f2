//! What all clients and rounds of one run share: model, prompts, labels, and who holds what.

use std::collections::{BTreeMap, BTreeSet};

use fl_core::partition::{Deal, Share};
use fl_core::settings::{
    AggregationSettings, Holds, LoraScaling, LoraSettings, MeasureError, RoomSettings,
};
use learner::{ClientTexts, Encoded, Learner, LearnerError, Tuning};
use rand::seq::SliceRandom as _;

use crate::chance::{Chance, stream};
use crate::error::{Result, SimulateError};
use crate::experiment::{Attack, Experiment, Method, in_file};
use crate::materials::{Corpus, Materials};
use crate::plan::Point;
use crate::workers::Workers;

/// Texts of which the server takes the prior for its evaluations, as it does in production.
const PRIOR_TEXTS: usize = learner::calibration::PRIOR_TEXTS;
/// Texts that are encoded in one piece of work.
const ENCODED_AT_ONCE: usize = 256;

/// A run's common things.
pub(crate) struct Scene {
    /// The settings.
    pub(crate) experiment: Experiment,
    /// A room's settings for the local work.
    pub(crate) settings: RoomSettings,
    /// The learner with the initial adapter, not calibrated.
    pub(crate) learner: Learner,
    /// The learners of smaller ranks, by their rank.
    pub(crate) ranked: BTreeMap<u32, Learner>,
    /// The clients, in the order of their numbers.
    pub(crate) clients: Vec<Client>,
    /// Texts that nothing is trained on.
    pub(crate) held_out: Vec<Encoded>,
    /// Their labels.
    pub(crate) held_out_labels: Vec<usize>,
    /// What the server subtracts from the label scores.
    pub(crate) offsets: Vec<f32>,
    prompts: BTreeMap<usize, Encoded>,
    labels: Vec<usize>,
}

/// A client of the experiment.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// Its number, which its random streams hang on.
    pub(crate) number: u32,
    /// The texts that it holds, by their position in the corpus.
    pub(crate) share: Share,
    /// The rank of its adapter, where that is not the global one's.
    pub(crate) rank: Option<u32>,
    /// What it does to the others, if it attacks.
    pub(crate) attack: Option<Attack>,
}

impl Scene {
    /// Deals the texts to the clients and encodes those that are needed.
    ///
    /// # Errors
    /// Those of [`Learner::tuned_by`].
    pub(crate) fn new(
        point: &Point,
        materials: &Materials,
        corpus: &Corpus,
        seed: u32,
        workers: &Workers,
    ) -> Result<Self> {
        let experiment = point.experiment.clone();
        let tuning = match experiment.method {
            Method::FpFl => Tuning::Full,
            _ => Tuning::Lora(experiment.lora.clone()),
        };
        let mut learner = Learner::tuned_by(materials.base.clone(), &materials.task, tuning)?;
        learner.load(&learner.initial_adapter(seed))?;
        let shares = shares(point, corpus, seed)?;
        let clients = clients(&experiment, shares, seed);
        let count = corpus.train.len().min(PRIOR_TEXTS);
        let spread: Vec<usize> = (0..count).map(|i| i * corpus.train.len() / count).collect();
        let held = clients.iter().flat_map(|client| {
            let Share { gold, unlabelled } = &client.share;
            gold.iter().chain(unlabelled)
        });
        let needed: BTreeSet<usize> = held.chain(&spread).copied().collect();
        let needed: Vec<usize> = needed.into_iter().collect();
        let rows: Vec<&_> = needed.iter().map(|&index| &corpus.train[index]).collect();
        let encode = |rows: &[&learner::texts::Row]| -> Result<Vec<Encoded>> {
            let pieces: Vec<&[&_]> = rows.chunks(ENCODED_AT_ONCE).collect();
            let encoded = workers.each(&pieces, |rows| {
                rows.iter()
                    .map(|row| learner.encode_row(row))
                    .collect::<Vec<_>>()
            })?;
            Ok(encoded.into_iter().flatten().collect())
        };
        let prompts: BTreeMap<usize, Encoded> =
            needed.iter().copied().zip(encode(&rows)?).collect();
        let held_out = encode(&corpus.held_out.iter().collect::<Vec<_>>())?;
        let spread: Vec<Encoded> = spread.iter().map(|index| prompts[index].clone()).collect();
        Ok(Self {
            settings: experiment.room(&materials.task, seed, experiment.clients),
            offsets: workers.one(|| learner.prior(&spread))??,
            ranked: ranked(&experiment, materials)?,
            experiment,
            learner,
            clients,
            held_out,
            held_out_labels: corpus.held_out_labels.clone(),
            prompts,
            labels: corpus.labels.clone(),
        })
    }

    /// A client's texts, as its learner sees them.
    pub(crate) fn texts(&self, client: &Client) -> ClientTexts {
        let labels = self.learner.labels();
        let label = |text: usize| match client.attack {
            Some(Attack::LabelFlip {}) => labels - 1 - self.labels[text],
            _ => self.labels[text],
        };
        let prompt = |text: &usize| self.prompts[text].clone();
        let gold = client.share.gold.iter();
        ClientTexts {
            gold: gold.map(|text| (prompt(text), label(*text))).collect(),
            unlabelled: client.share.unlabelled.iter().map(prompt).collect(),
        }
    }

    /// The labels that are hidden from a client, of its unlabelled texts.
    pub(crate) fn truth(&self, client: &Client) -> Vec<usize> {
        let texts = client.share.unlabelled.iter();
        texts.map(|&text| self.labels[text]).collect()
    }
}

/// The rank of a client's adapter, where it is smaller than the global one's.
fn rank(experiment: &Experiment, client: usize) -> Option<u32> {
    let place = client.checked_rem(experiment.ranks.len())?;
    let rank = experiment.ranks[place];
    (rank < experiment.lora.rank).then_some(rank)
}

/// A learner for each smaller rank, with the scale of the global one.
fn ranked(experiment: &Experiment, materials: &Materials) -> Result<BTreeMap<u32, Learner>> {
    let lora = &experiment.lora;
    let of_rank = |rank: u32| {
        let share = rank as f32 / lora.rank as f32;
        let alpha = match lora.scaling {
            LoraScaling::Standard => lora.alpha * share,
            LoraScaling::RankStabilised => lora.alpha * share.sqrt(),
        };
        let lora = LoraSettings {
            rank,
            alpha,
            ..lora.clone()
        };
        Ok((
            rank,
            Learner::new(materials.base.clone(), &materials.task, &lora)?,
        ))
    };
    let ranks = experiment.ranks.iter().filter(|rank| **rank < lora.rank);
    ranks.map(|&rank| of_rank(rank)).collect()
}

/// The clients' shares; one client holds them all where the method is centralised.
fn clients(experiment: &Experiment, mut shares: Vec<Share>, seed: u32) -> Vec<Client> {
    if experiment.method == Method::Centralised {
        let mut all = Share {
            gold: Vec::new(),
            unlabelled: Vec::new(),
        };
        for share in shares {
            all.gold.extend(share.gold);
            all.unlabelled.extend(share.unlabelled);
        }
        shares = vec![all];
    }
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.shuffle(&mut stream(seed, Chance::Attackers, 0));
    let count = match experiment.method.is_federated() {
        true => experiment.attackers.count as usize,
        false => 0,
    };
    let attackers = &order[..count.min(order.len())];
    let client = |(number, share)| Client {
        number: number as u32,
        share,
        rank: rank(experiment, number),
        attack: attackers
            .contains(&number)
            .then_some(experiment.attackers.attack),
    };
    shares.into_iter().enumerate().map(client).collect()
}

/// All clients' texts.
fn shares(point: &Point, corpus: &Corpus, seed: u32) -> Result<Vec<Share>> {
    let deal = point.experiment.whole_deal();
    let shares = deal.shares(&corpus.labels, &corpus.groups, seed);
    shares.map_err(|error| {
        let message = format!("expected {}, got {}", error.expected, error.got);
        point.refuse(&in_file(&error.field), message)
    })
}

/// Checks what only the texts and the model show, before anything long starts.
///
/// # Errors
/// The first setting that asks for more than there is.
pub(crate) fn check(point: &Point, materials: &Materials, corpus: &Corpus) -> Result<()> {
    let experiment = &point.experiment;
    let Deal {
        gold, unlabelled, ..
    } = experiment.deal;
    let (clients, texts) = (experiment.clients, corpus.train.len());
    if u64::from(clients) * (u64::from(gold) + u64::from(unlabelled)) > texts as u64 {
        let message = format!(
            "expected clients for the {texts} training texts, got {clients} with {gold} + \
             {unlabelled} each; lower one of them"
        );
        return Err(point.refuse("clients", message));
    }
    shares(
        point,
        corpus,
        experiment.seeds.first().copied().unwrap_or(0),
    )?;
    let tuning = match experiment.method {
        Method::FpFl => Tuning::Full,
        _ => Tuning::Lora(experiment.lora.clone()),
    };
    let learner = Learner::tuned_by(materials.base.clone(), &materials.task, tuning);
    let learner = learner.map_err(|error| match error {
        LearnerError::LabelWord { .. } => point.refuse("task", error.to_string()),
        LearnerError::PatternLength { .. } => point.refuse("task.patterns", error.to_string()),
        LearnerError::Argument { what, .. } => {
            let key = match what {
                "LoRA rank" => "lora.rank",
                "LoRA top layers" => "lora.top_layers",
                _ if experiment.method == Method::FpFl => "method",
                _ => "lora",
            };
            point.refuse(key, error.to_string())
        }
        error => SimulateError::Learner(error),
    })?;
    let bytes = learner.layout().parameters() * 4;
    let limit = fl_core::codec::FRAME_LIMIT - fl_core::codec::SERVER_TEXT_LIMIT;
    if bytes > limit {
        let message = format!(
            "expected updates of at most {limit} bytes, got {bytes}; choose a smaller model"
        );
        return Err(point.refuse("method", message));
    }
    check_memory(point, bytes as u64)
}

/// Refuses rounds that may have more updates than the rule may hold, which would leave some out.
fn check_memory(point: &Point, update_bytes: u64) -> Result<()> {
    let experiment = &point.experiment;
    let AggregationSettings {
        rule,
        measure_error,
        memory_mib,
        ..
    } = experiment.aggregation;
    let holds_all = rule.holds() == Holds::All || measure_error == MeasureError::EachRound;
    let updates = experiment.updates() as usize;
    // The largest that a round may have, where clients have adapters of several ranks.
    let sizes = (0..experiment.clients as usize).map(|client| {
        let rank = rank(experiment, client).unwrap_or(experiment.lora.rank);
        update_bytes * u64::from(rank) / u64::from(experiment.lora.rank)
    });
    let mut sizes: Vec<u64> = sizes.collect();
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    let needed = sizes.iter().take(updates).sum::<u64>().div_ceil(1 << 20);
    if experiment.method.is_federated() && holds_all && needed > u64::from(memory_mib) {
        let message = format!(
            "expected at least {needed}, for {updates} updates of up to {update_bytes} bytes that are \
             held until the round ends, got {memory_mib}"
        );
        return Err(point.refuse("aggregation.memory_mib", message));
    }
    Ok(())
}
