//! What is measured of a run, round by round.

use fl_core::soft_labels::SoftLabelMetrics;
use serde::{Deserialize, Serialize};

/// A run: one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// Its seed.
    pub seed: u32,
    /// Its rounds; the first is number 0, before any training.
    pub rounds: Vec<RoundFigures>,
    /// Hash of the last global adapter; several where clients learn alone.
    pub hashes: Vec<String>,
    /// Parameters of the global adapter; with `fp-fl`, of the model.
    pub trained_parameters: u64,
}

/// One round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundFigures {
    /// Its number.
    pub round: u32,
    /// Attempts that it took.
    pub attempts: u32,
    /// Clients selected in the last of them.
    pub selected: u32,
    /// Clients whose updates went in.
    pub reported: u32,
    /// Gold examples behind the average.
    pub gold: u32,
    /// Soft-labelled examples behind the average.
    pub soft: u32,
    /// Example-weighted mean of the last training losses.
    pub loss: Option<f32>,
    /// The soft labels that were trained on, where there were any.
    pub soft_labels: Option<SoftFigures>,
    /// Bytes from all clients, of all frames.
    pub bytes_up: u64,
    /// Bytes to all clients, of all frames.
    pub bytes_down: u64,
    /// Mean bytes of an update's frame.
    pub update_bytes: u64,
    /// ‖Σ p_k·B_k·A_k − W‖ over all modules, with W the product that the rule made; where
    /// `aggregation.measure_error` says so.
    pub aggregation_error: Option<f64>,
    /// The same as a share of ‖Σ p_k·B_k·A_k‖.
    pub relative_aggregation_error: Option<f64>,
    /// Milliseconds on the virtual clock.
    pub virtual_ms: u64,
    /// Milliseconds that the simulation took.
    pub wall_ms: u64,
    /// Quality after the round, where it was measured.
    pub evaluation: Option<EvaluationFigures>,
}

/// Quality on texts that nothing was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationFigures {
    /// Share labelled right; the mean over the clients where they learn alone.
    pub accuracy: f32,
    /// Macro F1, likewise.
    pub macro_f1: f32,
    /// Mean cross-entropy, likewise.
    pub loss: f32,
    /// Texts.
    pub count: u32,
    /// The lowest accuracy of any client: where clients learn alone, of its own adapter, at each
    /// evaluation; where they learn together, of the global one on its own unlabelled texts, after
    /// the last round, unless the clients have more than 5,000 of these in all.
    pub worst_client: Option<f32>,
}

/// Soft labels against the truth that is hidden from the clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftFigures {
    /// How many.
    pub count: u32,
    /// Share that is right.
    pub precision: f32,
    /// Share of the reporting clients' unlabelled texts that has one.
    pub coverage: f32,
    /// Mean confidence.
    pub confidence: f32,
    /// Of the texts that had one after their client's round before, the share with the same.
    pub agreement: Option<f32>,
}

impl SoftFigures {
    /// The figures of added-up counts; none without a label.
    pub(crate) fn new(metrics: &SoftLabelMetrics) -> Option<Self> {
        Some(Self {
            count: metrics.labelled as u32,
            precision: metrics.precision()? as f32,
            coverage: metrics.coverage()? as f32,
            confidence: metrics.mean_confidence()? as f32,
            agreement: metrics.agreement().map(|agreement| agreement as f32),
        })
    }
}

impl RunFigures {
    /// The last evaluation.
    pub fn last(&self) -> Option<&EvaluationFigures> {
        let mut rounds = self.rounds.iter().rev();
        rounds.find_map(|round| round.evaluation.as_ref())
    }

    /// Mean bytes that a reporting client sends in a round.
    pub fn update_bytes(&self) -> u64 {
        let sent: Vec<&RoundFigures> = self.rounds.iter().filter(|r| r.reported > 0).collect();
        let bytes: u64 = sent
            .iter()
            .map(|r| r.update_bytes * u64::from(r.reported))
            .sum();
        let updates: u64 = sent.iter().map(|r| u64::from(r.reported)).sum();
        bytes.checked_div(updates).unwrap_or(0)
    }
}
