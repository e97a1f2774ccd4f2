//! What is kept of a federation between two rounds, so that it can go on later.

use std::collections::VecDeque;

use fl_core::adapter::Adapter;
use fl_core::aggregate::OptimizerState;
use fl_core::compression::Feedback;
use fl_core::member::MemberRecord;
use fl_core::protocol::{ModelInfo, RoundRecord};
use fl_core::room::{Activity, Millis, Room, RoomState};
use fl_core::settings::RoomSettings;
use serde::{Deserialize, Serialize};

use super::Federation;
use super::wire::{Traffic, token};
use crate::error::Result;
use crate::experiment::Experiment;

/// A federation between two rounds, but for its adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    completed: u32,
    now: Millis,
    traffic: Traffic,
    places: Vec<MemberRecord>,
    history: Vec<RoundRecord>,
    /// Which clients are connected.
    connected: Vec<bool>,
}

impl Federation {
    /// The adapters to be kept beside the rest: the global one, what the server's optimizer keeps,
    /// and what each client's compression has left out.
    pub(crate) fn adapters(&self) -> Vec<Adapter> {
        let optimizer = self.room.optimizer();
        let global = Adapter::clone(self.room.global().1);
        let mut adapters = vec![
            global,
            optimizer.momentum.clone(),
            optimizer.variance.clone(),
        ];
        let left_out = self
            .members
            .iter()
            .map(|member| member.session.feedback().left_out());
        adapters.extend(left_out.cloned());
        adapters
    }

    /// What is to be kept after a round.
    pub(crate) fn save(&self) -> Saved {
        Saved {
            completed: self.completed(),
            now: self.now,
            traffic: self.traffic,
            places: self.records.values().cloned().collect(),
            history: self.room.history().cloned().collect(),
            connected: self
                .members
                .iter()
                .map(|member| member.link.is_some())
                .collect(),
        }
    }

    /// A federation as it was saved. That its clients come back costs no traffic and no time.
    pub(crate) fn restore(
        experiment: &Experiment,
        settings: RoomSettings,
        saved: Saved,
        adapters: &mut VecDeque<Adapter>,
        clients: &[(u32, (u32, u32))],
    ) -> Result<Self> {
        let seed = settings.seed;
        let mut next = || adapters.pop_front().unwrap_or_default();
        let (global, momentum, variance) = (next(), next(), next());
        let room = Room::restore(RoomState {
            code: "SIMULA".into(),
            settings,
            model: ModelInfo::default(),
            global: global.into(),
            optimizer: OptimizerState { momentum, variance }.into(),
            completed: saved.completed,
            activity: Activity::Paused,
            members: saved.places.clone(),
            history: saved.history,
            evaluations: Vec::new(),
        });
        let mut federation = Self::around(room, experiment, seed);
        federation.now = saved.now;
        federation.records = saved
            .places
            .into_iter()
            .map(|place| (place.id, place))
            .collect();
        for (&(client, texts), is_connected) in clients.iter().zip(saved.connected) {
            federation.add(client, texts, Some(token(client)));
            if let Some(member) = federation.members.last_mut() {
                member.session.resume_feedback(Feedback::of(next()));
            }
            if !is_connected {
                federation.cut(federation.members.len() - 1);
            }
        }
        federation.deliver()?;
        federation.traffic = saved.traffic;
        Ok(federation)
    }
}
