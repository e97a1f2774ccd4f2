//! Why a server cannot start or go on: each names the cause and the mend, for the operator.

use std::path::{Path, PathBuf};

use learner::LearnerError;

use crate::model_folder::ModelFolderError;

/// Why a server ended, or never began.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data folder cannot be made or written.
    #[error(
        "the data folder {path} cannot be written ({reason}); name another one with --data-dir, or change its permissions"
    )]
    DataFolder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Another server uses the data folder.
    #[error(
        "another server uses the data folder {path}; stop it, or name another folder with --data-dir"
    )]
    DataFolderTaken {
        /// The folder.
        path: PathBuf,
    },
    /// The database cannot be read or written.
    #[error("{path}: {reason}; restore the file from a backup, or move it away to begin anew")]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database says.
        reason: String,
    },
    /// There is no database where one is to be read.
    #[error(
        "{path}: expected the database of a server; name the folder that it was started with (--data-dir)"
    )]
    NoDatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database was written by a newer program.
    #[error("{path} has format {found}, this program knows {known}; use a newer lpfl")]
    DatabaseFormat {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: i64,
        /// The newest format known.
        known: i64,
    },
    /// The database to be replayed was written by another version of this program.
    #[error("{path} has format {found}, this program replays {known}; use the lpfl that wrote it")]
    RecordingFormat {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: i64,
        /// The format replayed.
        known: i64,
    },
    /// A stored file that was there cannot be read now.
    #[error("{path} cannot be read ({reason}); mend the disk or the file's permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// No stored adapter of a room is whole.
    #[error(
        "{path}: no adapter of room {room} is whole ({reason}); restore the folder from a backup, or delete it, and the room stays closed"
    )]
    NoAdapter {
        /// The room's folder.
        path: PathBuf,
        /// The room.
        room: String,
        /// What is wrong with the last one tried.
        reason: String,
    },
    /// A folder that is no base model, or none that this program can use.
    #[error("model {0}")]
    ModelFolder(#[from] ModelFolderError),
    /// A bundled model that this program cannot use.
    #[error("bundled model {name}: {error}; build the program again")]
    Model {
        /// The model.
        name: String,
        /// What is wrong.
        error: LearnerError,
    },
    /// A model folder whose name cannot be a model's.
    #[error(
        "model folder {path}: its name has to be 1 to 64 letters, digits, dots, dashes or underscores and no other model's; rename it"
    )]
    ModelName {
        /// The folder.
        path: PathBuf,
    },
    /// A bundled corpus that cannot be read.
    #[error("bundled corpus {name}: {error}; build the program again")]
    Corpus {
        /// The corpus.
        name: &'static str,
        /// What is wrong.
        error: LearnerError,
    },
    /// NATS cannot be reached, or cannot be used.
    #[error(
        "NATS at {address} cannot be used ({reason}); start `nats-server --jetstream` there, or name another address with --nats"
    )]
    Nats {
        /// Its addresses, without secrets.
        address: String,
        /// Why.
        reason: String,
    },
    /// Updates cannot be recorded where several processes sum them.
    #[error("--record keeps updates of one process; leave out --record or --nats")]
    RecordedInNats,
    /// The listener failed.
    #[error("the server cannot accept connections ({0}); start it again")]
    Listener(std::io::Error),
}

impl ServerError {
    pub(crate) fn data_folder(path: &Path, error: &impl ToString) -> Self {
        Self::DataFolder {
            path: path.into(),
            reason: error.to_string(),
        }
    }

    pub(crate) fn unreadable(path: &Path, error: &impl ToString) -> Self {
        Self::Unreadable {
            path: path.into(),
            reason: error.to_string(),
        }
    }
}
