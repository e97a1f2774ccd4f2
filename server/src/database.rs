//! The SQLite file: its tables, and reading and changing them.

use std::path::{Path, PathBuf};

use fl_core::adapter::Adapter;
use fl_core::aggregate::OptimizerState;
use fl_core::codec::{CodecError, FRAME_LIMIT, decode_adapter, decode_binary, encode_adapter};
use fl_core::member::MemberRecord;
use fl_core::protocol::{ClientHeader, ClientId, Evaluated, ModelInfo, RoundRecord};
use fl_core::replay::RecordedUpdate;
use fl_core::room::{Activity, HISTORY_KEPT};
use fl_core::settings::RoomSettings;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ServerError;
use crate::secrets::OwnerHash;
use crate::store::{Change, NewRoom};

/// Rounds whose last attempt is read back in any case: more than adapters are kept of.
const ROUNDS_SOUGHT: usize = 100;

/// Format of the tables, in SQLite's `user_version`.
const FORMAT: i64 = 2;

const TABLES: &str = "
CREATE TABLE rooms (
    code TEXT PRIMARY KEY,
    owner BLOB NOT NULL,
    settings TEXT NOT NULL,
    model TEXT NOT NULL,
    activity TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT;
CREATE TABLE members (
    room TEXT NOT NULL REFERENCES rooms (code) ON DELETE CASCADE,
    id INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (room, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE rounds (
    room TEXT NOT NULL REFERENCES rooms (code) ON DELETE CASCADE,
    round INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (room, round, attempt)
) STRICT, WITHOUT ROWID;
CREATE TABLE evaluations (
    room TEXT NOT NULL REFERENCES rooms (code) ON DELETE CASCADE,
    round INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (room, round)
) STRICT, WITHOUT ROWID;
";

/// Tables of format 2, for rooms that are recorded.
const RECORDING_TABLES: &str = "
CREATE TABLE updates (
    id INTEGER PRIMARY KEY,
    room TEXT NOT NULL REFERENCES rooms (code) ON DELETE CASCADE,
    round INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    client INTEGER NOT NULL,
    frame BLOB NOT NULL
) STRICT;
CREATE INDEX updates_of_round ON updates (room, round, attempt);
CREATE TABLE bases (
    room TEXT NOT NULL REFERENCES rooms (code) ON DELETE CASCADE,
    round INTEGER NOT NULL,
    adapter BLOB NOT NULL,
    optimizer BLOB NOT NULL,
    PRIMARY KEY (room, round)
) STRICT;
";

/// The open database.
pub(crate) struct Database {
    path: PathBuf,
    connection: Connection,
}

/// A room as it was stored, without its adapter.
pub(crate) struct StoredRoom {
    pub(crate) room: NewRoom,
    pub(crate) members: Vec<MemberRecord>,
    pub(crate) history: Vec<RoundRecord>,
    pub(crate) evaluations: Vec<Evaluated>,
}

/// Why a row is not what was written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{what} is not as this program writes it: {error}")]
    Row {
        what: &'static str,
        error: serde_json::Error,
    },
    #[error("the owner's hash has another length than 32 bytes")]
    Owner,
    #[error("a recorded update or adapter is not as this program writes it: {0}")]
    Recorded(#[from] CodecError),
}

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self, ServerError> {
        let failed = |error: rusqlite::Error| ServerError::Database {
            path: path.into(),
            reason: error.to_string(),
        };
        let connection = Connection::open(path).map_err(failed)?;
        let damage = prepare(&connection).map_err(failed)?;
        if damage != "ok" {
            return Err(ServerError::Database {
                path: path.into(),
                reason: damage,
            });
        }
        let found: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(failed)?;
        if found > FORMAT {
            return Err(ServerError::DatabaseFormat {
                path: path.into(),
                found,
                known: FORMAT,
            });
        }
        let missing = match found {
            0 => [TABLES, RECORDING_TABLES].concat(),
            1 => RECORDING_TABLES.into(),
            _ => String::new(),
        };
        if !missing.is_empty() {
            let tables = format!("BEGIN; {missing} PRAGMA user_version = {FORMAT}; COMMIT;");
            connection.execute_batch(&tables).map_err(failed)?;
        }
        Ok(Self {
            path: path.into(),
            connection,
        })
    }

    /// Opens a database that another program may be writing.
    pub(crate) fn open_to_read(path: &Path) -> Result<Self, ServerError> {
        let failed = |error: rusqlite::Error| ServerError::unreadable(path, &error);
        if !path.is_file() {
            return Err(ServerError::NoDatabase { path: path.into() });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        let found: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(failed)?;
        if found != FORMAT {
            return Err(ServerError::RecordingFormat {
                path: path.into(),
                found,
                known: FORMAT,
            });
        }
        Ok(Self {
            path: path.into(),
            connection,
        })
    }

    /// Codes of all rooms.
    pub(crate) fn codes(&self) -> Result<Vec<String>, ServerError> {
        self.column("SELECT code FROM rooms ORDER BY code", [])
            .map_err(|error| self.failed(error))
    }

    /// One room.
    pub(crate) fn room(&self, code: &str) -> Result<StoredRoom, ServerError> {
        let read = || {
            Ok(StoredRoom {
                room: self.head(code)?,
                members: self.records(
                    "member",
                    "SELECT record FROM members WHERE room = ?1 ORDER BY id",
                    code,
                )?,
                history: self.history(code)?,
                evaluations: self.records(
                    "evaluation",
                    "SELECT record FROM evaluations WHERE room = ?1 ORDER BY round",
                    code,
                )?,
            })
        };
        read().map_err(|error| self.failed(error))
    }

    /// A room's settings and all its rounds, oldest first.
    pub(crate) fn rounds(
        &self,
        code: &str,
    ) -> Result<(RoomSettings, Vec<RoundRecord>), ServerError> {
        let read = || {
            let sql = "SELECT record FROM rounds WHERE room = ?1 ORDER BY round, attempt";
            Ok((self.head(code)?.settings, self.records("round", sql, code)?))
        };
        read().map_err(|error| self.failed(error))
    }

    /// The global adapter and the optimizer's state after a round, where they were recorded.
    pub(crate) fn base(
        &self,
        code: &str,
        round: u32,
    ) -> Result<Option<(Adapter, OptimizerState)>, ServerError> {
        let read = || -> Result<_, DatabaseError> {
            let sql = "SELECT adapter, optimizer FROM bases WHERE room = ?1 AND round = ?2";
            let mut statement = self.connection.prepare_cached(sql)?;
            let found = statement.query_row(params![code, round], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?))
            });
            let Some((adapter, optimizer)) = found.optional()? else {
                return Ok(None);
            };
            let base = (
                decode_adapter(&adapter)?,
                OptimizerState::decode(&optimizer)?,
            );
            Ok(Some(base))
        };
        read().map_err(|error| self.failed(error))
    }

    /// The recorded updates of an attempt at a round, in the order in which they came.
    pub(crate) fn updates(
        &self,
        code: &str,
        round: u32,
        attempt: u32,
    ) -> Result<Vec<RecordedUpdate>, ServerError> {
        let read = || -> Result<_, DatabaseError> {
            let sql = "SELECT client, frame FROM updates
                WHERE room = ?1 AND round = ?2 AND attempt = ?3 ORDER BY id";
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![code, round, attempt], |row| {
                Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?))
            })?;
            let update = |row: rusqlite::Result<(u32, Vec<u8>)>| {
                let (client, frame) = row?;
                let (ClientHeader::Report(report), body) = decode_binary(&frame, FRAME_LIMIT)?;
                Ok(RecordedUpdate {
                    client: ClientId(client),
                    report,
                    body,
                })
            };
            rows.map(update).collect()
        };
        read().map_err(|error| self.failed(error))
    }

    /// Forgets the rounds after this one, whose adapters are lost.
    pub(crate) fn fall_back(&mut self, code: &str, round: u32) -> Result<(), ServerError> {
        let mut change = || -> Result<(), DatabaseError> {
            let transaction = self.connection.transaction()?;
            for table in ["rounds", "evaluations", "bases"] {
                let sql = format!("DELETE FROM {table} WHERE room = ?1 AND round > ?2");
                transaction.execute(&sql, params![code, round])?;
            }
            Ok(transaction.commit()?)
        };
        change().map_err(|error| self.failed(error))
    }

    /// Forgets the recorded updates of the rounds after this one.
    pub(crate) fn forget_updates(&self, code: &str, round: u32) -> Result<(), ServerError> {
        let sql = "DELETE FROM updates WHERE room = ?1 AND round > ?2";
        let forgotten = self.connection.execute(sql, params![code, round]);
        forgotten
            .map(|_| ())
            .map_err(|error| self.failed(error.into()))
    }

    /// Makes all changes durable, or none.
    pub(crate) fn apply<'a>(
        &mut self,
        changes: impl Iterator<Item = (&'a str, &'a Change)>,
    ) -> Result<(), DatabaseError> {
        let transaction = self.connection.transaction()?;
        for (room, change) in changes {
            apply(&transaction, room, change)?;
        }
        Ok(transaction.commit()?)
    }

    fn head(&self, code: &str) -> Result<NewRoom, DatabaseError> {
        let sql = "SELECT owner, settings, model, activity FROM rooms WHERE code = ?1";
        let (owner, settings, model, activity) = self.connection.query_row(sql, [code], |row| {
            Ok((
                row.get::<_, Vec<u8>>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
            ))
        })?;
        let owner: [u8; 32] = owner.try_into().map_err(|_| DatabaseError::Owner)?;
        Ok(NewRoom {
            code: code.into(),
            owner: OwnerHash::from_bytes(owner),
            settings: parse::<RoomSettings>("settings", &settings)?,
            model: parse::<ModelInfo>("model", &model)?,
            activity: parse::<Activity>("activity", &activity)?,
        })
    }

    fn history(&self, code: &str) -> Result<Vec<RoundRecord>, DatabaseError> {
        // The last attempts of the newest rounds are there however many others have failed since: one
        // of them completed the round that the room goes on from.
        let sql = format!(
            "SELECT record FROM rounds WHERE room = ?1 AND (
                 (round, attempt) IN (SELECT round, attempt FROM rounds WHERE room = ?1
                     ORDER BY round DESC, attempt DESC LIMIT {HISTORY_KEPT})
                 OR (round, attempt) IN (SELECT round, MAX(attempt) FROM rounds WHERE room = ?1
                     GROUP BY round ORDER BY round DESC LIMIT {ROUNDS_SOUGHT})
             ) ORDER BY round, attempt"
        );
        self.records("round", &sql, code)
    }

    fn records<T: DeserializeOwned>(
        &self,
        what: &'static str,
        sql: &str,
        code: &str,
    ) -> Result<Vec<T>, DatabaseError> {
        let rows = self.column(sql, [code])?;
        rows.iter().map(|row| parse(what, row)).collect()
    }

    fn column(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<String>, DatabaseError> {
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map(params, |row| row.get::<_, String>(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn failed(&self, error: DatabaseError) -> ServerError {
        ServerError::Database {
            path: self.path.clone(),
            reason: error.to_string(),
        }
    }
}

/// Sets the connection up; gives back what SQLite says of the file's soundness.
fn prepare(connection: &Connection) -> rusqlite::Result<String> {
    // FULL flushes the log at every commit: what was announced survives a power cut.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
}

fn apply(transaction: &Transaction<'_>, room: &str, change: &Change) -> Result<(), DatabaseError> {
    let execute = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
        transaction.prepare_cached(sql)?.execute(params)
    };
    match change {
        Change::Room(new) => execute(
            "INSERT INTO rooms (code, owner, settings, model, activity) VALUES (?1, ?2, ?3, ?4, ?5)",
            &[
                &room,
                new.owner.as_bytes(),
                &text("settings", &new.settings)?,
                &text("model", &new.model)?,
                &text("activity", &new.activity)?,
            ],
        )?,
        Change::Activity(activity) => execute(
            "UPDATE rooms SET activity = ?2 WHERE code = ?1",
            &[&room, &text("activity", activity)?],
        )?,
        Change::Member(member) => execute(
            "INSERT OR REPLACE INTO members (room, id, record) VALUES (?1, ?2, ?3)",
            &[&room, &member.id.0, &text("member", member)?],
        )?,
        Change::Forget(id) => execute(
            "DELETE FROM members WHERE room = ?1 AND id = ?2",
            &[&room, &id.0],
        )?,
        Change::Round(record) => execute(
            "INSERT OR REPLACE INTO rounds (room, round, attempt, record) VALUES (?1, ?2, ?3, ?4)",
            &[
                &room,
                &record.round,
                &record.attempt,
                &text("round", record)?,
            ],
        )?,
        Change::Evaluated(evaluated) => execute(
            "INSERT OR REPLACE INTO evaluations (room, round, record) VALUES (?1, ?2, ?3)",
            &[&room, &evaluated.round, &text("evaluation", evaluated)?],
        )?,
        Change::Update(update) => execute(
            "INSERT INTO updates (room, round, attempt, client, frame) VALUES (?1, ?2, ?3, ?4, ?5)",
            &[
                &room,
                &update.round,
                &update.attempt,
                &update.client.0,
                &&update.frame[..],
            ],
        )?,
        Change::Base(base) => execute(
            "INSERT OR REPLACE INTO bases (room, round, adapter, optimizer) VALUES (?1, ?2, ?3, ?4)",
            &[
                &room,
                &base.round,
                &encode_adapter(&base.global),
                &base.optimizer.encode(),
            ],
        )?,
    };
    Ok(())
}

fn text<T: Serialize>(what: &'static str, value: &T) -> Result<String, DatabaseError> {
    serde_json::to_string(value).map_err(|error| DatabaseError::Row { what, error })
}

fn parse<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, DatabaseError> {
    serde_json::from_str(text).map_err(|error| DatabaseError::Row { what, error })
}

#[cfg(test)]
mod tests;
