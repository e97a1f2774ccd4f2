//! Recorded rooms, and their rounds computed once more from the updates that were kept.

use std::path::Path;
use std::sync::Arc;

use fl_core::adapter::AdapterHash;
use fl_core::protocol::RoundOutcome;
use fl_core::replay::{RecordedUpdate, Replay};
use serde::Serialize;

use crate::database::Database;
use crate::error::ServerError;
use crate::store::database_file;

/// What a server that ran with [`crate::ServerConfig::record`] kept.
pub struct Recording {
    database: Database,
}

/// A completed round, computed once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplayedRound {
    /// Code of the room.
    pub room: String,
    /// The round, from 1.
    pub round: u32,
    /// Updates that counted.
    pub updates: u32,
    /// Hash of the global adapter that the room made.
    pub hash: AdapterHash,
    /// What came of computing it again.
    #[serde(flatten)]
    pub outcome: Replayed,
}

/// What came of a round that was computed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Replayed {
    /// The same adapter.
    Same,
    /// Another adapter.
    Differs {
        /// Its hash.
        got: AdapterHash,
    },
    /// Nothing: the updates that were kept cannot be those of this round.
    Failed {
        /// Why.
        reason: String,
    },
    /// The server did not record when it ran this round.
    NotRecorded,
    /// The updates were kept, but not the adapter that they began from, since the round before
    /// was not recorded or came to something else.
    NoBase,
}

impl Recording {
    /// Opens the data folder of a server, which may be running.
    ///
    /// # Errors
    /// [`ServerError`] when the folder holds no database, or one of another format.
    pub fn open(data_dir: &Path) -> Result<Self, ServerError> {
        let database = Database::open_to_read(&database_file(data_dir))?;
        Ok(Self { database })
    }

    /// Codes of all rooms.
    ///
    /// # Errors
    /// [`ServerError::Database`] when the database cannot be read.
    pub fn rooms(&self) -> Result<Vec<String>, ServerError> {
        self.database.codes()
    }

    /// Computes the completed rounds of a room again, and tells of each. A round begins where the
    /// one before ended, or, if that is not known, at the state that the server kept when it began
    /// to record.
    ///
    /// # Errors
    /// [`ServerError::Database`] when the database cannot be read.
    pub fn replay(
        &self,
        room: &str,
        mut told: impl FnMut(ReplayedRound),
    ) -> Result<(), ServerError> {
        let (settings, history) = self.database.rounds(room)?;
        let mut replay = None;
        for record in history {
            let RoundOutcome::Completed { hash } = record.outcome else {
                continue;
            };
            if replay.is_none() {
                let base = self.database.base(room, record.round.saturating_sub(1))?;
                replay = base.map(|(global, optimizer)| {
                    Replay::new(settings.clone(), Arc::new(global), optimizer)
                });
            }
            let updates = self.database.updates(room, record.round, record.attempt)?;
            let outcome = match &mut replay {
                _ if updates.is_empty() => Replayed::NotRecorded,
                None => Replayed::NoBase,
                Some(replay) => replayed(replay, record.round, &updates, hash),
            };
            if outcome != Replayed::Same {
                replay = None;
            }
            told(ReplayedRound {
                room: room.into(),
                round: record.round,
                updates: updates.len() as u32,
                hash,
                outcome,
            });
        }
        Ok(())
    }
}

fn replayed(
    replay: &mut Replay,
    round: u32,
    updates: &[RecordedUpdate],
    hash: AdapterHash,
) -> Replayed {
    match replay.round(round, updates) {
        Ok(got) if got == hash => Replayed::Same,
        Ok(got) => Replayed::Differs { got },
        Err(error) => Replayed::Failed {
            reason: error.to_string(),
        },
    }
}
