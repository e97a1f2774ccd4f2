//! A member of a room: who it is, what it holds, what it does.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::adapter::AdapterHash;
use crate::protocol::{ClientId, MemberState, MemberView, Progress, Stage};
use crate::room::{ConnectionId, Millis};
use crate::round::Standing;

/// Hash of a resume token: what is stored instead of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token.
    ///
    /// Hashes are compared in variable time: what that gives away is about the hash, from which
    /// nobody finds the token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// What is stored of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Identity.
    pub id: ClientId,
    /// Name shown.
    pub name: String,
    /// Hash of its resume token.
    pub token: TokenHash,
    /// Its share of the room's corpus.
    pub shard: u32,
    /// Rounds that its updates went into.
    pub contributed: u32,
}

impl MemberRecord {
    pub(crate) fn new(id: ClientId, token: TokenHash, shard: u32) -> Self {
        Self {
            id,
            name: String::new(),
            token,
            shard,
            contributed: 0,
        }
    }
}

/// A member, connected or away.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) record: MemberRecord,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) away_since: Millis,
    pub(crate) ready: bool,
    pub(crate) gold: u32,
    pub(crate) unlabelled: u32,
    pub(crate) loss: Option<f32>,
    /// The last global adapter that went to it alone.
    pub(crate) holds: Option<AdapterHash>,
    stage: Stage,
    share_done: f32,
}

impl Member {
    pub(crate) fn new(record: MemberRecord, now: Millis) -> Self {
        Self {
            record,
            connection: None,
            away_since: now,
            ready: false,
            gold: 0,
            unlabelled: 0,
            loss: None,
            holds: None,
            stage: Stage::Training,
            share_done: 0.0,
        }
    }

    /// A member as it was stored: away.
    pub(crate) fn restore(record: MemberRecord) -> Self {
        Self::new(record, 0)
    }

    /// Takes a connection, and gives back the one that it replaces.
    pub(crate) fn connect(
        &mut self,
        connection: ConnectionId,
        name: String,
    ) -> Option<ConnectionId> {
        self.record.name = name;
        self.ready = false;
        self.holds = None;
        self.connection.replace(connection)
    }

    pub(crate) fn disconnect(&mut self, now: Millis) {
        self.connection = None;
        self.ready = false;
        self.away_since = now;
    }

    /// A round selected it.
    pub(crate) fn begin(&mut self) {
        // Every round begins with soft labels, be they none.
        self.stage = Stage::Labelling;
        self.share_done = 0.0;
    }

    pub(crate) fn follow(&mut self, progress: &Progress) {
        self.stage = progress.stage;
        self.share_done = (progress.done as f32 / progress.total.max(1) as f32).clamp(0.0, 1.0);
        if let Some(loss) = progress.loss.filter(|loss| loss.is_finite()) {
            self.loss = Some(loss);
        }
    }

    pub(crate) fn view(&self, standing: Option<&Standing>) -> MemberView {
        let state = match (self.connection, self.ready, standing) {
            (None, ..) => MemberState::Away,
            (_, false, _) => MemberState::Loading,
            (_, _, Some(Standing::Reported)) => MemberState::Reported,
            (_, _, Some(Standing::Working)) => match self.stage {
                Stage::Labelling => MemberState::Labelling,
                Stage::Training => MemberState::Training,
            },
            _ => MemberState::Ready,
        };
        let works = matches!(state, MemberState::Labelling | MemberState::Training);
        MemberView {
            id: self.record.id,
            name: self.record.name.clone(),
            state,
            gold: self.gold,
            unlabelled: self.unlabelled,
            progress: if works { self.share_done } else { 0.0 },
            loss: self.loss,
            contributed: self.record.contributed,
        }
    }
}
