//! What can go wrong in an experiment, each told in one line.

use learner::LearnerError;

/// Why an experiment cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A setting, or the file that it stands in, is wrong.
    #[error("{place}: {message}")]
    Setting {
        /// File, line and key, or the flag that sets it.
        place: String,
        /// What was expected, what was got, and the mend.
        message: String,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: String,
        /// Why.
        message: String,
    },
    /// A folder that holds the rounds of other settings.
    #[error(
        "{folder} holds a run with {key} = {found}, which is now {wanted}; name another --out, or \
         delete that folder"
    )]
    OtherSettings {
        /// The folder.
        folder: String,
        /// The first setting that differs.
        key: String,
        /// Its value there.
        found: String,
        /// Its value now.
        wanted: String,
    },
    /// A round that never got the updates that it needs.
    #[error(
        "round {round} came to nothing in {attempts} of {attempts} attempts, at last because \
         {reason}; lower round.minimum or the dropouts, or raise round.deadline_seconds"
    )]
    Abandoned {
        /// The round.
        round: u32,
        /// How often it was tried.
        attempts: u32,
        /// Why the last attempt failed.
        reason: String,
    },
    /// Model, task or texts that the caller could not read.
    #[error("{0}")]
    Load(String),
    /// The two machines did not understand each other.
    #[error("the simulated wire failed: {0}")]
    Wire(String),
    /// The learner refused what it was given.
    #[error(transparent)]
    Learner(#[from] LearnerError),
}

/// What fallible functions of this crate return.
pub type Result<T, E = SimulateError> = std::result::Result<T, E>;

impl SimulateError {
    pub(crate) fn setting(place: impl Into<String>, message: impl Into<String>) -> Self {
        let (place, message) = (place.into(), message.into());
        Self::Setting { place, message }
    }

    pub(crate) fn file(path: &std::path::Path, error: impl ToString) -> Self {
        let (path, message) = (path.display().to_string(), error.to_string());
        Self::File { path, message }
    }
}
