//! Several processes as one service on NATS: the connection, and where rooms' state lies there.
//!
//! A room is led by the process that holds its lease, a key that NATS forgets unless it is renewed.
//! The leader runs the room's task and stores its state, each write under the condition that nobody
//! else has written. The other processes follow: they keep their sockets, check the updates that
//! come over them, and send the leader sums. Whatever is lost between two processes ends the link
//! between them, and the clients behind it connect again.

mod bridge;
mod codec;
mod follower;
mod keeper;
mod leader;
mod lease;
mod link;
mod place;
mod state;
mod sweep;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::object_store::{self, ObjectStore};
use async_nats::jetstream::stream::{self, DiscardPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, context::ContextBuilder, kv};
use async_nats::{Client, ConnectOptions, ServerAddr};
use fl_core::room::ProcessId;

use crate::config::Nats;
use crate::error::ServerError;
use crate::secrets;

pub(crate) use bridge::Bridge;
pub(crate) use keeper::Keeper;
pub(crate) use link::{Down, Sending};
pub(crate) use state::Found;

/// How long a lease lasts that is not renewed: after a leader's death nobody leads for as long.
const TERM: Duration = Duration::from_secs(4);
/// How long NATS may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The bucket of rooms' adapters.
const ADAPTERS: &str = "lpfl-adapters";
/// How long partial sums and long answers are kept that nobody fetches.
const SCRATCH_AGE: Duration = Duration::from_secs(120);

/// This process's place in the service. Clones share it.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Inner>);

struct Inner {
    process: ProcessId,
    client: Client,
    rooms: kv::Store,
    leases: kv::Store,
    adapters: ObjectStore,
    /// The stream that `adapters` is made of.
    adapters_stream: Stream<()>,
    scratch: ObjectStore,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cluster({})", self.0.process.0)
    }
}

impl Cluster {
    /// Connects, and makes the buckets that are missing.
    ///
    /// # Errors
    /// [`ServerError::Nats`], which names the address without its secrets.
    pub(crate) async fn connect(nats: &Nats) -> Result<Self, ServerError> {
        let failed = |reason: String| ServerError::Nats {
            address: nats.shown(),
            reason,
        };
        let client = connected(nats).await.map_err(failed)?;
        let process = secrets::number().map_err(|fault| failed(fault.message))?;
        let jetstream = ContextBuilder::new()
            .timeout(PATIENCE)
            .ack_timeout(PATIENCE)
            .build(client.clone());
        let inner = Inner {
            process: ProcessId(process),
            client,
            rooms: bucket(&jetstream, "lpfl-rooms", Duration::ZERO)
                .await
                .map_err(failed)?,
            leases: bucket(&jetstream, "lpfl-leases", TERM)
                .await
                .map_err(failed)?,
            adapters: store(&jetstream, ADAPTERS, StorageType::File)
                .await
                .map_err(failed)?,
            adapters_stream: jetstream
                .get_stream_no_info(format!("OBJ_{ADAPTERS}"))
                .await
                .map_err(|error| failed(error.to_string()))?,
            scratch: store(&jetstream, "lpfl-scratch", StorageType::Memory)
                .await
                .map_err(failed)?,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Whether NATS can be reached.
    pub(crate) fn is_connected(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    /// This process, since it was started.
    pub(crate) fn process(&self) -> ProcessId {
        self.0.process
    }

    /// Bytes above which what is sent to another process lies in the object store.
    fn most_inline(&self) -> usize {
        self.0.client.max_payload() / 2
    }
}

async fn connected(nats: &Nats) -> Result<Client, String> {
    let parse = |address: &str| address.trim().parse::<ServerAddr>();
    let servers: Result<Vec<ServerAddr>, _> = nats.url.split(',').map(parse).collect();
    let servers = servers.map_err(|_| "it is no address like nats://host:4222")?;
    let mut options = ConnectOptions::new()
        .name("lpfl")
        .connection_timeout(PATIENCE)
        .request_timeout(Some(PATIENCE))
        .ping_interval(Duration::from_secs(5))
        .reconnect_delay_callback(|tries| Duration::from_millis(100 * tries.min(10) as u64))
        .event_callback(|event| async move { tracing::info!(%event, "NATS") });
    if let Some(file) = &nats.credentials {
        let read = options.credentials_file(file).await;
        options = read.map_err(|error| format!("credentials {}: {error}", file.display()))?;
    }
    let client = options.connect(servers).await;
    client.map_err(|error| error.to_string())
}

/// A bucket of keys; another process may have made it.
async fn bucket(jetstream: &Context, name: &str, max_age: Duration) -> Result<kv::Store, String> {
    if let Ok(found) = jetstream.get_key_value(name).await {
        return Ok(found);
    }
    // What `create_key_value` makes of a bucket; that itself asks for the account in a way which
    // servers of version 2.9 do not answer.
    let config = stream::Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        max_age,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        allow_direct: true,
        deny_delete: true,
        num_replicas: 1,
        ..stream::Config::default()
    };
    let created = jetstream.create_stream(config).await;
    // It may be there all the same: another process has made it meanwhile.
    let found = jetstream.get_key_value(name).await;
    found.map_err(|error| match created {
        Ok(_) => error.to_string(),
        Err(error) => no_jetstream(&error),
    })
}

async fn store(
    jetstream: &Context,
    name: &str,
    storage: StorageType,
) -> Result<ObjectStore, String> {
    let config = object_store::Config {
        bucket: name.into(),
        max_age: match storage {
            StorageType::Memory => SCRATCH_AGE,
            StorageType::File => Duration::ZERO,
        },
        storage,
        ..object_store::Config::default()
    };
    if let Ok(found) = jetstream.get_object_store(name).await {
        return Ok(found);
    }
    match jetstream.create_object_store(config).await {
        Ok(made) => Ok(made),
        Err(error) => jetstream
            .get_object_store(name)
            .await
            .map_err(|_| no_jetstream(&error)),
    }
}

fn no_jetstream(error: &dyn fmt::Display) -> String {
    format!("{error}: JetStream may be off there")
}

#[cfg(test)]
mod tests;
