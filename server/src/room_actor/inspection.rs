//! What there is to know about a room, as JSON.

use fl_core::codec;
use fl_core::protocol::{Evaluated, ModelInfo, RoomView, RoundRecord};
use fl_core::room::{Millis, Room};
use fl_core::settings::RoomSettings;
use serde::Serialize;
use utoipa::ToSchema;

/// What `GET /api/rooms/CODE` answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Inspection<'a> {
    view: RoomView,
    settings: &'a RoomSettings,
    model: &'a ModelInfo,
    recorded: bool,
    history: Vec<&'a RoundRecord>,
    evaluations: &'a [Evaluated],
}

impl Inspection<'_> {
    /// The room as it is now, as JSON.
    pub(crate) fn of(room: &Room, now: Millis) -> String {
        codec::encode_text(&Inspection {
            view: room.view(now),
            settings: room.settings(),
            model: room.model(),
            recorded: room.is_recorded(),
            history: room.history().collect(),
            evaluations: room.evaluations(),
        })
    }
}
