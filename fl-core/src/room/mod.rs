//! The server's side of a room as a sans-I/O machine: messages and time in, effects out.
//!
//! The shell owns sockets, disk and clock. It feeds this machine and carries out [`Effect`]s in
//! their order; a new global adapter is announced only after the shell has said that it is stored.

mod asynchronous;
mod effect;
mod elsewhere;
mod joining;
mod owner;
mod part;
mod roster;
mod rounds;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::adapter::{Adapter, AdapterHash};
use crate::aggregate::{OptimizerState, ProductError, Residual};
use crate::member::{Member, MemberRecord};
use crate::protocol::{
    ClientId, Evaluated, MemberView, ModelInfo, PhaseView, ROSTER_SHOWN, RoomView, RoundRecord,
    ServerMessage,
};
use crate::round::{Carried, Round};
use crate::settings::{Quorum, RoomSettings, Start};

pub use self::effect::{Activity, ConnectionId, Counted, Effect, Millis, OwnerCommand, ProcessId};
pub use self::joining::Hello;
pub use self::part::Part;

use self::elsewhere::Collecting;
use self::roster::Roster;
pub use self::rounds::HISTORY_KEPT;

/// How long a member whose connection broke stays on the roster.
const AWAY_SHOWN_MS: Millis = 60_000;

/// What a shell stores of a room, and gives back after a restart.
#[derive(Clone, Debug)]
pub struct RoomState {
    /// Code of the room.
    pub code: String,
    /// Its settings.
    pub settings: RoomSettings,
    /// The base model.
    pub model: ModelInfo,
    /// The newest global adapter.
    pub global: Arc<Adapter>,
    /// What the server's optimizer kept when it was made.
    pub optimizer: Arc<OptimizerState>,
    /// Rounds completed.
    pub completed: u32,
    /// Whether it runs.
    pub activity: Activity,
    /// Its members.
    pub members: Vec<MemberRecord>,
    /// Its rounds, oldest first.
    pub history: Vec<RoundRecord>,
    /// Evaluations, oldest first.
    pub evaluations: Vec<Evaluated>,
}

/// A room: its members, its rounds and its global adapter.
#[derive(Debug)]
pub struct Room {
    code: String,
    settings: RoomSettings,
    model: ModelInfo,
    global: Arc<Adapter>,
    hash: AdapterHash,
    completed: u32,
    attempt: u32,
    activity: Activity,
    members: Roster,
    connections: BTreeMap<ConnectionId, ClientId>,
    round: Option<Round>,
    /// Clients that work on from one round into the next; in asynchronous mode only.
    carried: Carried,
    collecting: Option<Collecting>,
    storing: Option<(RoundRecord, Arc<Adapter>, Arc<OptimizerState>)>,
    optimizer: Arc<OptimizerState>,
    residual: Option<Residual>,
    error: Option<ProductError>,
    not_before: Millis,
    history: VecDeque<RoundRecord>,
    evaluations: Vec<Evaluated>,
    effects: Vec<Effect>,
    changed: bool,
    recorded: bool,
}

impl Room {
    /// A room that has not begun.
    pub fn new(
        code: String,
        settings: RoomSettings,
        model: ModelInfo,
        initial: Arc<Adapter>,
    ) -> Self {
        let activity = match settings.round.start {
            Start::Automatic => Activity::Running,
            Start::Manual => Activity::Paused,
        };
        Self::restore(RoomState {
            code,
            settings,
            model,
            global: initial,
            optimizer: Arc::default(),
            completed: 0,
            activity,
            members: Vec::new(),
            history: Vec::new(),
            evaluations: Vec::new(),
        })
    }

    /// A room as it was stored. Its members are away until they connect again.
    pub fn restore(state: RoomState) -> Self {
        let completed = state.completed;
        let attempt = state
            .history
            .iter()
            .filter(|record| record.round == completed + 1)
            // Not their count: the first ones may have gone.
            .map(|record| record.attempt)
            .max();
        Self {
            code: state.code,
            settings: state.settings,
            model: state.model,
            hash: state.global.hash(),
            global: state.global,
            completed,
            attempt: attempt.unwrap_or(0),
            activity: state.activity,
            members: Roster::restore(state.members, last_named(&state.history)),
            connections: BTreeMap::new(),
            round: None,
            carried: Carried::new(),
            collecting: None,
            storing: None,
            optimizer: state.optimizer,
            residual: None,
            error: None,
            not_before: 0,
            history: state.history.into(),
            evaluations: state.evaluations,
            effects: Vec::new(),
            changed: true,
            recorded: false,
        }
    }

    /// The shell keeps every update that counts: everyone who joins is told so.
    pub fn say_recorded(&mut self) {
        self.recorded = true;
    }

    /// Whether the shell keeps every update.
    pub fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// Code of the room.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Its settings.
    pub fn settings(&self) -> &RoomSettings {
        &self.settings
    }

    /// The base model.
    pub fn model(&self) -> &ModelInfo {
        &self.model
    }

    /// Rounds completed, the global adapter that they made, and its hash.
    pub fn global(&self) -> (u32, &Arc<Adapter>, AdapterHash) {
        (self.completed, &self.global, self.hash)
    }

    /// What the server's optimizer keeps from round to round.
    pub fn optimizer(&self) -> &Arc<OptimizerState> {
        &self.optimizer
    }

    /// What the last round's rule adds to the frozen weights, which only a simulation carries out.
    pub fn residual(&self) -> Option<&Residual> {
        self.residual.as_ref()
    }

    /// How far the last round's adapter is from the mean of the products, where that is measured.
    pub fn product_error(&self) -> Option<&ProductError> {
        self.error.as_ref()
    }

    /// Rounds so far, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &RoundRecord> {
        self.history.iter()
    }

    /// Evaluations so far, oldest first.
    pub fn evaluations(&self) -> &[Evaluated] {
        &self.evaluations
    }

    /// What to do since the last call, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether [`Self::view`] changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// When [`Self::tick`] has something to do next.
    pub fn next_tick(&self) -> Option<Millis> {
        match (&self.round, &self.collecting) {
            (Some(round), _) => Some(round.next_tick(self.grace_ms())),
            (None, Some(collecting)) => Some(collecting.until()),
            (None, None) if self.not_before > 0 => Some(self.not_before),
            (None, None) => None,
        }
    }

    /// The server evaluated one of the room's adapters.
    pub fn evaluated(&mut self, evaluated: Evaluated) {
        self.evaluations
            .retain(|known| known.round != evaluated.round);
        let place = self
            .evaluations
            .partition_point(|known| known.round < evaluated.round);
        self.evaluations.insert(place, evaluated.clone());
        self.effects
            .push(Effect::Broadcast(ServerMessage::Evaluated(evaluated)));
    }

    /// What the room looks like.
    pub fn view(&self, now: Millis) -> RoomView {
        let shown = |member: &&Member| {
            member.connection.is_some() || now < member.away_since.saturating_add(AWAY_SHOWN_MS)
        };
        let members: Vec<MemberView> = self
            .members
            .iter()
            .filter(shown)
            .take(ROSTER_SHOWN)
            .map(|member| {
                member.view(
                    self.round
                        .as_ref()
                        .and_then(|round| round.standing(member.record.id)),
                )
            })
            .collect();
        RoomView {
            code: self.code.clone(),
            completed: self.completed,
            phase: self.phase(now),
            connected: self.connections.len() as u32,
            ready: self.members.ready().len() as u32,
            needed: self.needed(),
            members,
        }
    }

    fn phase(&self, now: Millis) -> PhaseView {
        match (&self.round, self.activity) {
            (Some(round), _) => round.view(now),
            (None, Activity::Finished) => PhaseView::Finished,
            (None, Activity::Paused) => PhaseView::Paused,
            (None, Activity::Running) => PhaseView::Waiting,
        }
    }

    pub(super) fn needed(&self) -> u32 {
        let round = &self.settings.round;
        match round.quorum {
            Quorum::Count(count) => count,
            Quorum::Fraction(fraction) => {
                let share = (self.connections.len() as f32 * fraction).ceil() as u32;
                share.max(round.minimum)
            }
        }
    }

    pub(super) fn grace_ms(&self) -> Millis {
        Millis::from(self.settings.round.grace_seconds) * 1000
    }
}

/// The highest identity that a history names, whether its member is remembered or not.
fn last_named(history: &[RoundRecord]) -> u32 {
    let named = history.iter().flat_map(|record| {
        let excluded = record.excluded.iter().map(|exclusion| exclusion.client);
        record.participants.iter().copied().chain(excluded)
    });
    named.max().map_or(0, |client| client.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RoundOutcome;

    #[test]
    fn attempts_go_on_where_the_first_are_forgotten() {
        let record = |attempt| RoundRecord {
            round: 1,
            attempt,
            outcome: RoundOutcome::Abandoned {
                reason: "no update came in".into(),
            },
            selected: 1,
            reported: 0,
            participants: Vec::new(),
            excluded: Vec::new(),
            gold: 0,
            soft: 0,
            loss: None,
            duration_ms: 1,
            bytes_up: 0,
        };
        let room = |history| {
            Room::restore(RoomState {
                code: "ABCDEF".into(),
                settings: RoomSettings::default(),
                model: ModelInfo::default(),
                global: Arc::default(),
                optimizer: Arc::default(),
                completed: 0,
                activity: Activity::Running,
                members: Vec::new(),
                history,
                evaluations: Vec::new(),
            })
        };
        assert_eq!(room(Vec::new()).attempt, 0);
        assert_eq!(room(vec![record(8), record(9)]).attempt, 9);
    }
}
