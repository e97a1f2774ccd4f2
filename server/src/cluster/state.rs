//! A room's state in NATS: keys for its head, members, rounds and evaluations, objects for adapters.
//!
//! The head names the newest adapter and is only ever written over the head that its writer has
//! read: that write is what makes a round complete. A leader that another one has replaced fails
//! there, since the other has raised the head's epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::jetstream::kv::{CreateErrorKind, Entry, Operation};
use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::aggregate::OptimizerState;
use fl_core::codec::{FRAME_LIMIT, decode_adapter, encode_adapter};
use fl_core::member::MemberRecord;
use fl_core::protocol::{ClientId, Evaluated, ModelInfo, RoundRecord};
use fl_core::room::{Activity, HISTORY_KEPT, RoomState};
use fl_core::settings::RoomSettings;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::codec::{json, object, parsed, put};
use super::{Cluster, PATIENCE};
use crate::secrets::OwnerHash;
use crate::store::NewRoom;

/// Most bytes of an adapter's or an optimizer state's object.
const OBJECT_LIMIT: usize = 2 * FRAME_LIMIT;
/// Above so many bytes a round's record names fewer clients: NATS takes no larger messages.
const RECORD_LIMIT: usize = 256 * 1024;
/// Clients named then in each list.
const NAMED: usize = 500;

/// What there is of a room apart from members, rounds and evaluations.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// Raised by each leader.
    pub(super) epoch: u64,
    owner: [u8; 32],
    settings: RoomSettings,
    model: ModelInfo,
    pub(super) activity: Activity,
    /// The newest round that is complete.
    pub(super) completed: u32,
    /// Its record, which may not have its key yet; none before the first.
    pub(super) last: Option<RoundRecord>,
    /// The rounds whose adapters are kept, and those adapters' hashes.
    pub(super) adapters: BTreeMap<u32, AdapterHash>,
}

/// A room as any process needs it to let clients in.
pub(crate) struct Found {
    pub(crate) owner: OwnerHash,
    pub(crate) settings: RoomSettings,
    pub(crate) model: ModelInfo,
    pub(crate) global: Arc<Adapter>,
}

/// A room as its new leader has read it, with the revisions of what it will write.
pub(super) struct Loaded {
    pub(super) state: RoomState,
    pub(super) head: Head,
    pub(super) revision: u64,
    pub(super) revisions: Revisions,
}

/// Revisions of a room's keys: whoever writes over one or removes one has to name what it read.
#[derive(Default)]
pub(super) struct Revisions {
    /// By members' keys.
    pub(super) members: BTreeMap<String, u64>,
    /// By round and attempt; the last round is missing where its key does not have its record yet.
    pub(super) rounds: BTreeMap<(u32, u32), u64>,
}

pub(super) fn head_key(room: &str) -> String {
    format!("{room}.head")
}

pub(super) fn member_key(room: &str, id: ClientId) -> String {
    format!("{room}.member.{}", id.0)
}

pub(super) fn round_key(room: &str, (round, attempt): (u32, u32)) -> String {
    format!("{room}.round.{round:06}.{attempt:04}")
}

pub(super) fn evaluation_key(room: &str, round: u32) -> String {
    format!("{room}.evaluation.{round:06}")
}

/// The record, or where it is too long what fits of it.
pub(super) fn fitting(record: RoundRecord) -> RoundRecord {
    let is_long = |record: &RoundRecord| json(record).is_ok_and(|json| json.len() > RECORD_LIMIT);
    let (mut fitting, mut named) = (record, NAMED);
    while is_long(&fitting) && named > 0 {
        fitting = fitting.summary(named);
        named /= 2;
    }
    fitting
}

fn adapter_name(room: &str, round: u32, hash: AdapterHash) -> String {
    format!("{room}/{round:06}/{hash}")
}

fn optimizer_name(room: &str, round: u32, hash: AdapterHash) -> String {
    format!("{room}/{round:06}/{hash}/optimizer")
}

impl Cluster {
    /// Makes a room durable; false when another room has its code.
    pub(crate) async fn create(&self, room: NewRoom, first: &Adapter) -> Result<bool, String> {
        let hash = first.hash();
        let state = OptimizerState::default();
        self.put_adapter(&room.code, 0, first, &state).await?;
        let head = Head {
            epoch: 0,
            owner: *room.owner.as_bytes(),
            settings: room.settings,
            model: room.model,
            activity: room.activity,
            completed: 0,
            last: None,
            adapters: [(0, hash)].into(),
        };
        let created = self.0.rooms.create(head_key(&room.code), json(&head)?);
        match created.await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                if let Err(error) = self.remove_first(&room.code, hash).await {
                    tracing::warn!(
                        room = room.code,
                        error,
                        "an adapter that nobody wants stays"
                    );
                }
                Ok(false)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Removes the adapter of a room that another one came before, unless that one has begun with
    /// the same.
    async fn remove_first(&self, room: &str, hash: AdapterHash) -> Result<(), String> {
        match self.head(room).await? {
            Some((theirs, _)) if theirs.adapters.get(&0) != Some(&hash) => {
                self.remove_adapter(room, 0, hash).await
            }
            _ => Ok(()),
        }
    }

    /// The room with this code, if there is one.
    pub(crate) async fn find(&self, room: &str) -> Result<Option<Found>, String> {
        let Some((head, _)) = self.head(room).await? else {
            return Ok(None);
        };
        let hash = newest(room, &head)?;
        let global = self.adapter(room, head.completed, hash).await?;
        Ok(Some(Found {
            owner: OwnerHash::from_bytes(head.owner),
            settings: head.settings,
            model: head.model,
            global: Arc::new(global),
        }))
    }

    async fn head(&self, room: &str) -> Result<Option<(Head, u64)>, String> {
        let key = head_key(room);
        // Codes are typed by people; what is none is no key either.
        if !room.bytes().all(|byte| byte.is_ascii_alphanumeric()) || room.is_empty() {
            return Ok(None);
        }
        let entry = self.0.rooms.entry(&key).await;
        let entry = entry.map_err(|error| error.to_string())?;
        let entry = entry.filter(|entry| entry.operation == Operation::Put);
        let head = entry.map(|entry| Ok((parsed(&key, &entry.value)?, entry.revision)));
        head.transpose()
    }

    /// Reads a room to lead it: from here on nobody who led it before can store anything.
    pub(super) async fn load(&self, room: &str) -> Result<Loaded, String> {
        let missing = || format!("room {room} is not there any more");
        let (mut head, revision) = self.head(room).await?.ok_or_else(missing)?;
        let unfinished = self.unfinished(room, &head).await.unwrap_or_else(|error| {
            tracing::warn!(room, error, "what a leader before left unfinished stays");
            Vec::new()
        });
        head.epoch += 1;
        let raised = self.0.rooms.update(head_key(room), json(&head)?, revision);
        let revision = raised.await.map_err(|error| error.to_string())?;
        self.remove_all(unfinished).await;
        let hash = newest(room, &head)?;
        let global = self.adapter(room, head.completed, hash).await?;
        let optimizer = optimizer_name(room, head.completed, hash);
        let optimizer = object(&self.0.adapters, &optimizer, OBJECT_LIMIT).await?;
        let optimizer = match optimizer {
            Some(bytes) => OptimizerState::decode(&bytes).map_err(|error| error.to_string())?,
            None => OptimizerState::default(),
        };
        let mut state = RoomState {
            code: room.into(),
            settings: head.settings.clone(),
            model: head.model.clone(),
            global: Arc::new(global),
            optimizer: Arc::new(optimizer),
            completed: head.completed,
            activity: head.activity,
            members: Vec::new(),
            history: Vec::new(),
            evaluations: Vec::new(),
        };
        let entries = self.entries(room, revision).await?;
        let revisions = read_keys(entries, &head, &mut state)?;
        Ok(Loaded {
            state,
            head,
            revision,
            revisions,
        })
    }

    /// The last entry of each key of a room whose head has just got the revision `raised`.
    async fn entries(&self, room: &str, raised: u64) -> Result<Vec<Entry>, String> {
        let late = || "NATS did not give the room's keys in time".to_owned();
        let watch = self.0.rooms.watch_with_history(format!("{room}.>"));
        let watch = timeout(PATIENCE, watch).await.map_err(|_| late())?;
        let mut watch = watch.map_err(|error| error.to_string())?;
        let mut entries = Vec::new();
        let mut has_head = false;
        // Each answer has its time; how many there are does not matter.
        loop {
            let entry = match timeout(PATIENCE, watch.next()).await {
                Ok(Some(entry)) => entry.map_err(|error| error.to_string())?,
                // The leader of before has removed what was still to come.
                Err(_) if has_head => break,
                Ok(None) | Err(_) => return Err(late()),
            };
            // All of before comes before it, also from a replica that is behind.
            has_head |= entry.revision >= raised;
            let is_last = has_head && entry.delta == 0;
            entries.push(entry);
            if is_last {
                break;
            }
        }
        Ok(entries)
    }

    /// A round's global adapter.
    pub(super) async fn adapter(
        &self,
        room: &str,
        round: u32,
        hash: AdapterHash,
    ) -> Result<Adapter, String> {
        let name = adapter_name(room, round, hash);
        let bytes = object(&self.0.adapters, &name, OBJECT_LIMIT).await?;
        let bytes = bytes.ok_or_else(|| format!("adapter {name} is missing"))?;
        let adapter = decode_adapter(&bytes).map_err(|error| format!("{name}: {error}"))?;
        match adapter.hash() == hash {
            true => Ok(adapter),
            false => Err(format!("adapter {name} has another hash")),
        }
    }

    pub(super) async fn put_adapter(
        &self,
        room: &str,
        round: u32,
        adapter: &Adapter,
        optimizer: &OptimizerState,
    ) -> Result<(), String> {
        let hash = adapter.hash();
        let adapters = &self.0.adapters;
        if *optimizer != OptimizerState::default() {
            let name = optimizer_name(room, round, hash);
            put(adapters, &name, &optimizer.encode()).await?;
        }
        let name = adapter_name(room, round, hash);
        put(adapters, &name, &encode_adapter(adapter)).await
    }

    /// Removes a round's adapter and the state of the optimizer beside it.
    pub(super) async fn remove_adapter(
        &self,
        room: &str,
        round: u32,
        hash: AdapterHash,
    ) -> Result<(), String> {
        for name in object_names(room, round, hash) {
            if let Some(version) = self.version(&name).await? {
                self.remove(&version).await?;
            }
        }
        Ok(())
    }
}

/// The objects of a round's adapter. Most rounds have no state of an optimizer.
pub(super) fn object_names(room: &str, round: u32, hash: AdapterHash) -> [String; 2] {
    [
        optimizer_name(room, round, hash),
        adapter_name(room, round, hash),
    ]
}

/// Reads members, rounds and evaluations.
fn read_keys(entries: Vec<Entry>, head: &Head, state: &mut RoomState) -> Result<Revisions, String> {
    let mut rounds = BTreeMap::new();
    let mut revisions = Revisions::default();
    for entry in entries {
        let Entry {
            key,
            value,
            revision,
            operation,
            ..
        } = entry;
        let mut parts = key.split('.').skip(1);
        if operation != Operation::Put {
            // A marker has a revision too, which its key's next writer has to name.
            if parts.next() == Some("member") {
                revisions.members.insert(key, revision);
            }
            continue;
        }
        match parts.next() {
            Some("member") => {
                state.members.push(parsed::<MemberRecord>(&key, &value)?);
                revisions.members.insert(key, revision);
            }
            Some("round") => {
                let record: RoundRecord = parsed(&key, &value)?;
                let place = (record.round, record.attempt);
                revisions.rounds.insert(place, revision);
                rounds.insert(place, record);
            }
            Some("evaluation") => {
                state.evaluations.push(parsed::<Evaluated>(&key, &value)?);
            }
            _ => {}
        }
    }
    if let Some(last) = &head.last {
        let place = (last.round, last.attempt);
        if rounds.insert(place, last.clone()).as_ref() != Some(last) {
            revisions.rounds.remove(&place);
        }
    }
    state.members.sort_by_key(|member| member.id);
    state.evaluations.sort_by_key(|evaluated| evaluated.round);
    let old = rounds.len().saturating_sub(HISTORY_KEPT);
    state.history = rounds.into_values().skip(old).collect();
    Ok(revisions)
}

fn newest(room: &str, head: &Head) -> Result<AdapterHash, String> {
    let found = head.adapters.get(&head.completed).copied();
    found.ok_or_else(|| format!("room {room} names no adapter of round {}", head.completed))
}
