//! Evaluates a room's global adapters on its held-out texts, without ever holding a round up.

use std::sync::Arc;

use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::protocol::Evaluated;
use fl_core::settings::{RoomSettings, Texts};
use learner::{Evaluation, LearnerError};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::learning::{HeldOut, Library};
use crate::room_actor::Input;

#[derive(Clone)]
struct Candidate {
    round: u32,
    adapter: Arc<Adapter>,
    hash: AdapterHash,
}

/// Takes adapters to evaluate; a newer one takes the place of one that still waits.
pub(crate) struct Evaluator {
    newest: Option<watch::Sender<Option<Candidate>>>,
}

impl Evaluator {
    /// Starts the task of one room; results go to `inbox`. `turns` are shared by all rooms, so
    /// that evaluations leave processors to the rounds.
    pub(crate) fn start(
        library: Arc<Library>,
        settings: RoomSettings,
        inbox: mpsc::WeakSender<Input>,
        turns: Arc<Semaphore>,
    ) -> Self {
        if matches!(settings.texts, Texts::Own) {
            return Self { newest: None };
        }
        let (newest, candidates) = watch::channel(None);
        tokio::spawn(evaluate_newest(library, settings, inbox, turns, candidates));
        Self {
            newest: Some(newest),
        }
    }

    /// Evaluates this adapter next.
    pub(crate) fn evaluate(&self, round: u32, adapter: Arc<Adapter>, hash: AdapterHash) {
        if let Some(newest) = &self.newest {
            newest.send_replace(Some(Candidate {
                round,
                adapter,
                hash,
            }));
        }
    }
}

async fn evaluate_newest(
    library: Arc<Library>,
    settings: RoomSettings,
    inbox: mpsc::WeakSender<Input>,
    turns: Arc<Semaphore>,
    mut candidates: watch::Receiver<Option<Candidate>>,
) {
    let mut examiner = Examiner {
        library,
        settings,
        held_out: None,
    };
    while candidates.changed().await.is_ok() {
        let Ok(_turn) = turns.acquire().await else {
            return;
        };
        let Some(candidate) = candidates.borrow_and_update().clone() else {
            continue;
        };
        let work = tokio::task::spawn_blocking(move || {
            let evaluated = examiner.evaluate(&candidate);
            (examiner, evaluated)
        });
        let Ok((returned, evaluated)) = work.await else {
            return;
        };
        examiner = returned;
        if let (Some(evaluated), Some(inbox)) = (evaluated, inbox.upgrade()) {
            // The room may be at its end.
            let _ = inbox.send(Input::Evaluated(evaluated)).await;
        }
    }
}

/// Measures one room's adapters; the texts are read and calibrated for with the first of them.
struct Examiner {
    library: Arc<Library>,
    settings: RoomSettings,
    held_out: Option<HeldOut>,
}

impl Examiner {
    fn evaluate(&mut self, candidate: &Candidate) -> Option<Evaluated> {
        let evaluation = match self.measure(&candidate.adapter) {
            Ok(evaluation) => evaluation?,
            Err(error) => {
                tracing::warn!(round = candidate.round, %error, "an adapter could not be evaluated");
                return None;
            }
        };
        // JSON has no infinities: what diverged is told by the missing evaluation.
        let numbers = [evaluation.accuracy, evaluation.macro_f1, evaluation.loss];
        numbers
            .iter()
            .all(|number| number.is_finite())
            .then_some(Evaluated {
                round: candidate.round,
                hash: candidate.hash,
                count: evaluation.count,
                accuracy: evaluation.accuracy,
                macro_f1: evaluation.macro_f1,
                loss: evaluation.loss,
            })
    }

    fn measure(&mut self, adapter: &Adapter) -> Result<Option<Evaluation>, LearnerError> {
        if self.held_out.is_none() {
            self.held_out = self.library.held_out(&self.settings)?;
        }
        let held_out = self.held_out.as_mut();
        held_out.map(|texts| texts.evaluate(adapter)).transpose()
    }
}
