//! Reasons of exclusions, which are sentences for people, as a few kinds.
//!
//! A sentence may quote what a client said, so it never is a label itself.

/// How the sentences begin, and the kind of each.
const KINDS: [(&str, &str); 8] = [
    ("it could not do the work", "declined"),
    ("it left the room", "left"),
    ("its connection broke", "connection_lost"),
    ("it had not reported at the deadline", "deadline"),
    ("the round had enough updates", "enough_updates"),
    ("its update would be more than", "too_old"),
    ("its update was refused", "refused"),
    ("the server process that", "process_lost"),
];

/// The kind of what the room's rule of aggregation leaves out.
const RULE: &str = "rule";

/// The kind of a reason.
pub(crate) fn kind(reason: &str) -> &'static str {
    let known = KINDS.iter().find(|(begin, _)| reason.starts_with(begin));
    known.map_or(RULE, |(_, kind)| kind)
}

/// All kinds.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(_, kind)| *kind).chain([RULE])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fl_core::adapter::{Adapter, AdapterHash, Matrix};
    use fl_core::protocol::{ClientMessage, ModelInfo, PROTOCOL_VERSION, Report, RoundRecord};
    use fl_core::room::{ConnectionId, Effect, Hello, ProcessId, Room};
    use fl_core::settings::{RoomSettings, RoundMode};

    use super::*;

    const ADA: ConnectionId = ConnectionId(1);
    const BOB: ConnectionId = ConnectionId(2);

    /// A room with two clients at work on round 1, which ends with one update.
    fn working(goal: u32) -> Room {
        working_in(RoundMode::Synchronous, goal)
    }

    fn working_in(mode: RoundMode, goal: u32) -> Room {
        let matrix = Matrix {
            rows: 1,
            columns: 1,
            values: vec![0.0],
        };
        let adapter = Adapter {
            matrices: [("w".to_owned(), matrix)].into(),
        };
        let mut settings = RoomSettings::default();
        settings.round.minimum = 1;
        settings.round.mode = mode;
        settings.round.goal = goal;
        let model = ModelInfo::default();
        let mut room = Room::new("ABCDEF".into(), settings, model, Arc::new(adapter));
        for connection in [ADA, BOB] {
            let hello = Hello {
                protocol: PROTOCOL_VERSION,
                name: "Client".into(),
                resume: None,
            };
            room.hello(connection, hello, connection.0.to_string(), 0);
            let (gold, unlabelled) = (4, 4);
            room.message(connection, ClientMessage::Ready { gold, unlabelled }, 0);
        }
        room.take_effects();
        room
    }

    fn report(room: &mut Room) {
        let (_, adapter, base) = room.global();
        let adapter = Arc::clone(adapter);
        room.report(ADA, &a_report(base), &adapter, 1, 1);
    }

    fn a_report(base: AdapterHash) -> Report {
        Report {
            round: 1,
            attempt: 1,
            base,
            gold: 1,
            soft: 0,
            steps: 1,
            loss_first: 1.0,
            loss_last: 1.0,
            confidence: 0.0,
            work_ms: 1,
        }
    }

    /// The kinds of exclusions of the round that has ended.
    fn kinds(room: &mut Room) -> Vec<&'static str> {
        let kinds_of = |record: &RoundRecord| {
            let excluded = record.excluded.iter();
            excluded.map(|excluded| kind(&excluded.reason)).collect()
        };
        let records = room
            .take_effects()
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Store(record, ..) => Some(kinds_of(&record)),
                _ => None,
            });
        records.flat_map(|kinds: Vec<_>| kinds).collect()
    }

    /// Rooms word the reasons; these are their words.
    #[test]
    fn every_reason_of_a_room_has_its_kind() {
        let declined = ClientMessage::Declined {
            round: 1,
            reason: "it left the room".into(),
        };
        for (message, expected) in [(declined, "declined"), (ClientMessage::Leave, "left")] {
            let mut room = working(0);
            room.message(BOB, message, 0);
            report(&mut room);
            assert_eq!(kinds(&mut room), [expected]);
        }
        let mut enough = working(1);
        report(&mut enough);
        assert_eq!(kinds(&mut enough), ["enough_updates"]);
        let mut fast = working_in(RoundMode::Asynchronous { max_staleness: 0 }, 1);
        report(&mut fast);
        assert_eq!(kinds(&mut fast), ["too_old"]);
        for (leaves, expected) in [(false, "deadline"), (true, "connection_lost")] {
            let mut room = working(0);
            report(&mut room);
            if leaves {
                room.disconnected(BOB, 2);
            }
            let at = room.next_tick().unwrap();
            room.tick(at);
            assert_eq!(kinds(&mut room), [expected]);
        }
        let mut elsewhere = working(0);
        report(&mut elsewhere);
        let (process, base) = (ProcessId(2), elsewhere.global().2);
        elsewhere.report_elsewhere(BOB, &a_report(base), Ok(()), 1, process, 2);
        elsewhere.process_lost(process, 3);
        assert_eq!(kinds(&mut elsewhere), ["process_lost"]);
        assert_eq!(kind("its update was an outlier"), "rule");
    }
}
