//! Measures a run's global adapters on texts that nothing was trained on.

use learner::{Encoded, Evaluation, Learner, Tally};

use super::Run;
use crate::error::Result;
use crate::experiment::Method;
use crate::figures::EvaluationFigures;
use crate::scene::Client;

/// Texts that are evaluated in one piece of work.
const EVALUATED_AT_ONCE: usize = 64;
/// Most texts of clients that the last evaluation looks at to find the worst client.
const MOST_CLIENT_TEXTS: usize = 5_000;

impl Run<'_> {
    /// Quality of the global adapters as they are now.
    pub(super) fn evaluate(&self, is_last: bool) -> Result<EvaluationFigures> {
        let evaluations = match self.federations.len() {
            1 => vec![self.evaluate_one()?],
            _ => self.evaluate_each()?,
        };
        let count = evaluations.len() as f32;
        let mean =
            |figure: fn(&Evaluation) -> f32| evaluations.iter().map(figure).sum::<f32>() / count;
        let worst_client = match self.scene.experiment.method {
            Method::Local => evaluations
                .iter()
                .map(|e| e.accuracy)
                .min_by(f32::total_cmp),
            Method::LpFl | Method::FpFl if is_last => self.worst_client()?,
            _ => None,
        };
        Ok(EvaluationFigures {
            accuracy: mean(|e| e.accuracy),
            macro_f1: mean(|e| e.macro_f1),
            loss: mean(|e| e.loss),
            count: evaluations.first().map_or(0, |e| e.count),
            worst_client,
        })
    }

    /// Of one adapter: the texts are spread over the workers.
    fn evaluate_one(&self) -> Result<Evaluation> {
        let mut learner = self.workers.one(|| self.loaded(0))??;
        learner.calibrate(self.scene.offsets.clone())?;
        let scores = self.scores(&learner, &self.scene.held_out)?;
        let mut tally = Tally::new(learner.labels());
        tally.add(&scores, &self.scene.held_out_labels)?;
        Ok(tally.evaluation())
    }

    /// Of many adapters: these are spread over the workers.
    fn evaluate_each(&self) -> Result<Vec<Evaluation>> {
        let all: Vec<usize> = (0..self.federations.len()).collect();
        let evaluated = self.workers.each(&all, |&index| {
            let mut learner = self.loaded(index)?;
            learner.calibrate(self.scene.offsets.clone())?;
            Ok(learner.evaluate(&self.scene.held_out, &self.scene.held_out_labels)?)
        })?;
        evaluated.into_iter().collect()
    }

    fn scores(&self, learner: &Learner, texts: &[Encoded]) -> Result<Vec<Vec<f32>>> {
        let pieces: Vec<&[Encoded]> = texts.chunks(EVALUATED_AT_ONCE).collect();
        let scored = self.workers.each(&pieces, |texts| learner.scores(texts))?;
        let mut scores = Vec::with_capacity(texts.len());
        for piece in scored {
            scores.extend(piece?);
        }
        Ok(scores)
    }

    /// The lowest accuracy of the global adapter on any client's own unlabelled texts, by the
    /// client's own calibration; none where that would take long.
    fn worst_client(&self) -> Result<Option<f32>> {
        let texts = |client: &Client| client.share.unlabelled.len();
        let count: usize = self.scene.clients.iter().map(texts).sum();
        if count == 0 || count > MOST_CLIENT_TEXTS {
            return Ok(None);
        }
        let learner = self.workers.one(|| self.loaded(0))??;
        let clients = self.scene.clients.iter().zip(&self.memories);
        let clients: Vec<_> = clients.filter(|(client, _)| texts(client) > 0).collect();
        let accuracies = self.workers.each(&clients, |(client, memory)| {
            let own = self.scene.texts(client);
            let mut learner = learner.clone();
            let offsets = match &memory.offsets {
                Some(offsets) => offsets.clone(),
                None => self.scene.learner.prior(&own.all())?,
            };
            learner.calibrate(offsets)?;
            Ok(learner
                .evaluate(&own.unlabelled, &self.scene.truth(client))?
                .accuracy)
        })?;
        let accuracies: Result<Vec<f32>> = accuracies.into_iter().collect();
        Ok(accuracies?.into_iter().min_by(f32::total_cmp))
    }
}
