//! Updates that came while a round was being stored, in the order in which they came.

use std::collections::{BTreeSet, VecDeque};

use fl_core::room::ConnectionId;

use super::Input;

/// At most one update of each connection.
#[derive(Debug, Default)]
pub(super) struct Early {
    queue: VecDeque<(ConnectionId, Input)>,
    held: BTreeSet<ConnectionId>,
}

impl Early {
    pub(super) fn holds(&self, connection: ConnectionId) -> bool {
        self.held.contains(&connection)
    }

    pub(super) fn push(&mut self, connection: ConnectionId, input: Input) {
        self.held.insert(connection);
        self.queue.push_back((connection, input));
    }

    /// The first one, if it has to wait no longer.
    pub(super) fn next(&mut self, has_to_wait: impl Fn(ConnectionId) -> bool) -> Option<Input> {
        let (first, _) = self.queue.front()?;
        if has_to_wait(*first) {
            return None;
        }
        let (connection, input) = self.queue.pop_front()?;
        self.held.remove(&connection);
        Some(input)
    }

    /// The connection is gone.
    pub(super) fn forget(&mut self, connection: ConnectionId) {
        if self.held.remove(&connection) {
            self.queue.retain(|(held, _)| *held != connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_first_is_first_whatever_its_number() {
        let mut early = Early::default();
        let gone = |connection| Input::Gone { connection };
        let [one, two, three] = [7, 3, 5].map(ConnectionId);
        for connection in [one, two, three] {
            early.push(connection, gone(connection));
        }
        early.forget(two);
        assert!(early.holds(one) && !early.holds(two));
        assert!(early.next(|_| true).is_none());
        let first = early.next(|_| false);
        assert!(matches!(first, Some(Input::Gone { connection }) if connection == one));
        let last = early.next(|_| false);
        assert!(matches!(last, Some(Input::Gone { connection }) if connection == three));
        assert!(early.next(|_| false).is_none() && !early.holds(three));
    }
}
