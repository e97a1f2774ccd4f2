//! Rooms of the scenarios: small ones, so that two cores get through all of them in minutes.

use fl_core::partition::Deal;
use fl_core::settings::{Quorum, RoomSettings, Texts};

/// A room for this many clients in which a round is over almost at once.
pub fn quick(title: &str, clients: u32, rounds: u32) -> RoomSettings {
    let mut settings = RoomSettings {
        title: title.into(),
        texts: Texts::Corpus {
            corpus: "reviews".into(),
            deal: Deal {
                gold: 8,
                unlabelled: 16,
                ..Deal::default()
            },
        },
        ..RoomSettings::default()
    };
    settings.training.epochs = 1;
    settings.round.rounds = rounds;
    settings.round.quorum = Quorum::Count(clients);
    settings.round.minimum = 1;
    // A round ends by its reports or by a lost client, never by the clock.
    settings.round.deadline_seconds = 600;
    settings
}

/// The same with this many passes over the texts, so that a round lasts long enough for something
/// to happen in the middle of it.
pub fn slow(title: &str, clients: u32, rounds: u32, passes: u32) -> RoomSettings {
    let mut settings = quick(title, clients, rounds);
    settings.training.epochs = passes;
    settings.training.batch_size = 4;
    settings
}
