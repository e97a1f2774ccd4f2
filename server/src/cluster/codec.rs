//! JSON in NATS's keys, and bytes in its object stores.

use std::time::Duration;

use async_nats::jetstream::object_store::{GetErrorKind, ObjectStore};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// How long an object may take.
const OBJECT: Duration = Duration::from_secs(30);

pub(super) fn json<T: Serialize>(value: &T) -> Result<Bytes, String> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

pub(super) fn parsed<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, String> {
    let parsed = serde_json::from_slice(bytes);
    parsed.map_err(|error| format!("{key} is not as this program writes it: {error}"))
}

/// Stores an object; it is durable when this returns.
pub(super) async fn put(store: &ObjectStore, name: &str, bytes: &[u8]) -> Result<(), String> {
    let mut data = bytes;
    match timeout(OBJECT, store.put(name, &mut data)).await {
        Ok(put) => put.map(drop).map_err(|error| error.to_string()),
        Err(_) => Err(format!("{name} was not stored in time")),
    }
}

/// An object of at most `most` bytes, if there is one of this name.
pub(super) async fn object(
    store: &ObjectStore,
    name: &str,
    most: usize,
) -> Result<Option<Vec<u8>>, String> {
    let read = async {
        let mut object = match store.get(name).await {
            Ok(object) => object,
            Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let size = object.info().size;
        if size > most {
            return Err(format!("{name} has {size} bytes, expected at most {most}"));
        }
        let mut bytes = Vec::with_capacity(size);
        let read = object.read_to_end(&mut bytes).await;
        read.map_err(|error| format!("{name}: {error}"))?;
        Ok(Some(bytes))
    };
    match timeout(OBJECT, read).await {
        Ok(read) => read,
        Err(_) => Err(format!("{name} was not read in time")),
    }
}
