//! Removes from NATS what nobody will read again, without leaving a marker in its place.
//!
//! A bucket deletes by writing a marker, which stays as long as the bucket does. The stream below it
//! can purge a subject instead, up to a message: what another process has written meanwhile stays.

use async_nats::jetstream::kv::Operation;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use fl_core::adapter::AdapterHash;
use serde::{Deserialize, Serialize};

use super::codec::{json, parsed};
use super::state::{Head, object_names};
use super::{ADAPTERS, Cluster};

/// An adapter that a leader stores before the head names it.
#[derive(Serialize, Deserialize)]
struct Unfinished {
    round: u32,
    hash: AdapterHash,
}

/// An object as it was stored once: an object of the same name that is stored later is another one.
#[derive(Debug)]
pub(super) struct Version {
    /// The subject of its description, and the message there.
    description: String,
    sequence: u64,
    /// The subject of its bytes, which no other version has.
    bytes: String,
}

/// What an object's description says of where its bytes are.
#[derive(Deserialize)]
struct Description {
    nuid: String,
}

fn unfinished_key(room: &str) -> String {
    format!("{room}.unfinished")
}

impl Cluster {
    /// Removes a key as it was at a revision; false when it is not there like that any more.
    pub(super) async fn remove_key(&self, key: &str, revision: u64) -> Result<bool, String> {
        let rooms = &self.0.rooms;
        let subject = format!("{}{key}", rooms.prefix);
        let purge = rooms.stream.purge().filter(subject);
        match purge.sequence(revision + 1).await {
            Ok(purged) => Ok(purged.purged > 0),
            Err(error) => Err(format!("{key} was not removed: {error}")),
        }
    }

    /// The version of an adapter's object that is there now.
    pub(super) async fn version(&self, name: &str) -> Result<Option<Version>, String> {
        let description = format!("$O.{ADAPTERS}.M.{}", URL_SAFE.encode(name));
        let stream = &self.0.adapters_stream;
        let message = match stream.get_last_raw_message_by_subject(&description).await {
            Ok(message) => message,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                return Ok(None);
            }
            Err(error) => return Err(format!("{name}: {error}")),
        };
        let Description { nuid } = parsed(name, &message.payload)?;
        Ok(Some(Version {
            description,
            sequence: message.sequence,
            bytes: format!("$O.{ADAPTERS}.C.{nuid}"),
        }))
    }

    /// Removes a version of an object: its bytes first, since nobody could find them without the
    /// description.
    pub(super) async fn remove(&self, version: &Version) -> Result<(), String> {
        let stream = &self.0.adapters_stream;
        let bytes = stream.purge().filter(&version.bytes).await;
        bytes.map_err(|error| error.to_string())?;
        let description = stream.purge().filter(&version.description);
        let purged = description.sequence(version.sequence + 1).await;
        purged.map(drop).map_err(|error| error.to_string())
    }

    /// Notes which adapter is stored next, for the next leader in case no head ever names it.
    pub(super) async fn note_unfinished(
        &self,
        room: &str,
        round: u32,
        hash: AdapterHash,
    ) -> Result<(), String> {
        let unfinished = json(&Unfinished { round, hash })?;
        let put = self.0.rooms.put(unfinished_key(room), unfinished).await;
        put.map(drop).map_err(|error| error.to_string())
    }

    /// What the last leader has stored of an adapter that this head does not name. Once a head of a
    /// later epoch is there that does not name it either, nobody will.
    pub(super) async fn unfinished(&self, room: &str, head: &Head) -> Result<Vec<Version>, String> {
        let key = unfinished_key(room);
        let entry = self.0.rooms.entry(&key).await;
        let entry = entry.map_err(|error| error.to_string())?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(Vec::new());
        };
        let Unfinished { round, hash } = parsed(&key, &entry.value)?;
        let mut versions = Vec::new();
        if head.adapters.get(&round) != Some(&hash) {
            for name in object_names(room, round, hash) {
                versions.extend(self.version(&name).await?);
            }
        }
        Ok(versions)
    }

    /// Removes versions of objects; what cannot be removed stays.
    pub(super) async fn remove_all(&self, versions: Vec<Version>) {
        for version in versions {
            if let Err(error) = self.remove(&version).await {
                tracing::warn!(error, ?version, "an unfinished round's adapter stays");
            }
        }
    }
}
