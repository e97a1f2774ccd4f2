//! Bytes for another process, in the message or, where there are many, in the object store.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Cluster;
use super::codec::{object, put};
use crate::secrets;

/// Where the bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// The message's payload.
    Here,
    /// An object of this name, which is fetched once.
    Object(String),
}

impl Cluster {
    /// Finds a place for bytes that go to another process; gives back what the payload is then.
    pub(super) async fn place(&self, bytes: Vec<u8>) -> Result<(Place, Bytes), String> {
        if bytes.len() <= self.most_inline() {
            return Ok((Place::Here, bytes.into()));
        }
        let name = secrets::token().map_err(|fault| fault.message)?;
        put(&self.0.scratch, &name, &bytes).await?;
        Ok((Place::Object(name), Bytes::new()))
    }

    /// The bytes that another process has placed, at most `most`.
    pub(super) async fn placed(
        &self,
        place: &Place,
        payload: Bytes,
        most: usize,
    ) -> Result<Bytes, String> {
        let Place::Object(name) = place else {
            return Ok(payload);
        };
        let found = object(&self.0.scratch, name, most).await?;
        // What is left there goes with time.
        let _ = self.0.scratch.delete(name).await;
        found
            .map(Bytes::from)
            .ok_or_else(|| format!("{name} is not there any more"))
    }
}
