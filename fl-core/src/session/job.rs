//! Where a session stands with the work that it was asked for.

use crate::compression::Feedback;
use crate::protocol::WorkOrder;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Job {
    Idle,
    Working(WorkOrder),
    /// The encoded report waits for its receipt; with what it leaves out if it counts.
    Reported(WorkOrder, Vec<u8>, Feedback),
}

impl Job {
    pub(super) fn order(&self) -> Option<&WorkOrder> {
        match self {
            Self::Idle => None,
            Self::Working(order) | Self::Reported(order, ..) => Some(order),
        }
    }
}

impl WorkOrder {
    /// Whether both orders ask for the same work; the time left may differ.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.round, self.attempt, self.base) == (other.round, other.attempt, other.base)
    }
}
