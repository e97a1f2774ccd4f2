//! Brings stored rooms back to their last whole round.

use std::sync::Arc;

use fl_core::adapter::{Adapter, AdapterHash};
use fl_core::aggregate::OptimizerState;
use fl_core::protocol::{RoundOutcome, RoundRecord};
use fl_core::room::RoomState;

use crate::adapters::Adapters;
use crate::database::StoredRoom;
use crate::error::ServerError;
use crate::learning::Library;
use crate::secrets::OwnerHash;
use crate::store::OpenedStore;

/// A room as it goes on.
pub(crate) struct RestoredRoom {
    pub(crate) state: RoomState,
    pub(crate) owner: OwnerHash,
}

/// Reads every room; blocks.
///
/// A room whose model is not offered any more is left out, and so is one whose folder is not there;
/// both stay in the database. A room whose newest adapter is damaged goes on from the newest whole
/// one.
pub(crate) fn restore(
    store: &mut OpenedStore,
    library: &Library,
) -> Result<Vec<RestoredRoom>, ServerError> {
    let mut rooms = Vec::new();
    for code in store.database.codes()? {
        let stored = store.database.room(&code)?;
        if !is_offered(&stored, library) {
            continue;
        }
        let adapters = store.adapters(&code);
        let folder = adapters.folder();
        let is_there = folder.try_exists();
        if !is_there.map_err(|error| ServerError::unreadable(folder, &error))? {
            // Left in the database: the folder may come back, from a backup for instance.
            tracing::warn!(
                room = code,
                folder = %folder.display(),
                "the room's folder is not there, so the room stays closed; put it back to open it"
            );
            continue;
        }
        adapters
            .clean()
            .map_err(|error| ServerError::unreadable(adapters.folder(), &error))?;
        let (completed, (global, optimizer)) = newest_whole(&stored, &adapters)?;
        let stored = match completed < newest_completed(&stored.history) {
            true => {
                store.database.fall_back(&code, completed)?;
                store.database.room(&code)?
            }
            false => stored,
        };
        // Of a round that was going on when the server ended: it begins anew.
        store.database.forget_updates(&code, completed)?;
        tracing::info!(room = code, completed, "room restored");
        rooms.push(RestoredRoom {
            owner: stored.room.owner,
            state: RoomState {
                code,
                settings: stored.room.settings,
                model: stored.room.model,
                global: Arc::new(global),
                optimizer: Arc::new(optimizer),
                completed,
                activity: stored.room.activity,
                members: stored.members,
                history: stored.history,
                evaluations: stored.evaluations,
            },
        });
    }
    Ok(rooms)
}

fn is_offered(stored: &StoredRoom, library: &Library) -> bool {
    let (room, wanted) = (&stored.room.code, &stored.room.model);
    let Some(model) = library.models.find(&wanted.name) else {
        tracing::warn!(
            room,
            model = wanted.name,
            "the room's model is not offered, so the room stays closed; name its folder with --model"
        );
        return false;
    };
    if model.info != *wanted {
        tracing::warn!(
            room,
            model = wanted.name,
            "the room was opened with other files of this model, so it stays closed; offer those again"
        );
        return false;
    }
    true
}

fn newest_completed(history: &[RoundRecord]) -> u32 {
    let completed = history.iter().filter(|record| hash(record).is_some());
    completed.map(|record| record.round).max().unwrap_or(0)
}

fn hash(record: &RoundRecord) -> Option<AdapterHash> {
    match record.outcome {
        RoundOutcome::Completed { hash } => Some(hash),
        RoundOutcome::Abandoned { .. } => None,
    }
}

fn newest_whole(
    stored: &StoredRoom,
    adapters: &Adapters,
) -> Result<(u32, (Adapter, OptimizerState)), ServerError> {
    let completed = stored.history.iter().rev();
    let completed = completed.filter_map(|record| Some((record.round, Some(hash(record)?))));
    let mut damage = String::new();
    for (round, expected) in completed.chain([(0, None)]) {
        match adapters.read(round, expected)? {
            Ok(whole) => return Ok((round, whole)),
            Err(reason) => {
                tracing::warn!(room = stored.room.code, round, reason, "adapter not whole");
                if damage.is_empty() {
                    damage = reason;
                }
            }
        }
    }
    Err(ServerError::NoAdapter {
        path: adapters.folder().into(),
        room: stored.room.code.clone(),
        reason: damage,
    })
}
