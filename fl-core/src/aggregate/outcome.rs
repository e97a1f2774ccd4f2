//! What aggregation comes to: the next global adapter, or why there is none.

use super::{OptimizerState, ProductError, Residual};
use crate::adapter::{Adapter, AdapterError};
use crate::error::Fault;
use crate::protocol::Exclusion;

/// What a round's updates became.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregated {
    /// The next global adapter.
    pub adapter: Adapter,
    /// What is added to the frozen weights, by rules that do so.
    pub residual: Option<Residual>,
    /// The clients whose updates the rule left out, and why.
    pub excluded: Vec<Exclusion>,
    /// How far it is from the mean of the clients' products, where that is measured.
    pub error: Option<ProductError>,
    /// What the server's optimizer keeps for the next round.
    pub optimizer: OptimizerState,
}

/// Why an update does not go in, or a round has no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AggregateError {
    /// An update that is not one of its room's.
    #[error(transparent)]
    Update(#[from] AdapterError),
    /// A weight that is negative or not finite.
    #[error("weight {0}, expected a finite number from 0")]
    Weight(f64),
    /// More updates than may be held at once.
    #[error(
        "{rule} holds all of a round's updates, and this one makes {got} bytes, expected at most {limit} (aggregation.memory_mib)"
    )]
    Memory {
        /// The rule that holds them.
        rule: &'static str,
        /// Most bytes.
        limit: u64,
        /// Bytes with this update.
        got: u64,
    },
    /// A sum that another process made, and that is none of this round's updates.
    #[error("a partial sum of another process does not fit: {0}")]
    Partial(&'static str),
    /// Nothing of any weight was added.
    #[error("no example counts, so there is no average")]
    Nothing,
    /// Fewer updates than the rule's guarantee needs.
    #[error("{rule} needs {needed} updates, {got} count")]
    TooFew {
        /// The rule.
        rule: &'static str,
        /// Fewest updates.
        needed: usize,
        /// Updates found.
        got: usize,
    },
}

impl From<AggregateError> for Fault {
    fn from(error: AggregateError) -> Self {
        match error {
            AggregateError::Update(error) => error.into(),
            AggregateError::Memory { .. } => Self::too_much_held(&error.to_string()),
            _ => Self::internal(format!("The update was left out: {error}.")),
        }
    }
}
