//! Which texts of a corpus a client holds: the same for a seed, on every machine.

mod gold;
mod iid;
mod labels;
mod plan;
mod portable;
mod settings;

use serde::{Deserialize, Serialize};

use crate::error::SettingsError;

pub use self::settings::{GoldPlacement, Partition, Sizes};

/// How much of a corpus one client holds, and of what.
///
/// By default every client has the corpus's mix of labels, and clients may come as they like. Every
/// other partition divides the corpus among a known number of `clients`; a client beyond it gets
/// the share of an earlier one again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Deal {
    /// Labelled texts per client; where sizes differ, of a client of mean size. At least 1.
    pub gold: u32,
    /// Texts per client whose labels are hidden from it; where sizes differ, of a client of mean
    /// size.
    pub unlabelled: u32,
    /// Clients that the corpus is divided among; not needed by the default partition.
    pub clients: u32,
    /// Which texts lie together at one client.
    pub partition: Partition,
    /// How many texts each client holds.
    pub sizes: Sizes,
    /// Which of a client's texts carry their label.
    pub gold_placement: GoldPlacement,
}

impl Default for Deal {
    fn default() -> Self {
        Self {
            gold: 8,
            unlabelled: 48,
            clients: 0,
            partition: Partition::Iid,
            sizes: Sizes::Equal,
            gold_placement: GoldPlacement::Balanced,
        }
    }
}

/// One client's texts, as positions in the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Labelled texts.
    pub gold: Vec<usize>,
    /// Unlabelled texts.
    pub unlabelled: Vec<usize>,
}

impl Deal {
    /// The texts of client number `shard`; `labels[i]` is the label of text i.
    ///
    /// # Errors
    /// What [`Self::shares`] finds; the default partition has no errors.
    pub fn share(&self, labels: &[usize], shard: u32, seed: u32) -> Result<Share, SettingsError> {
        self.share_grouped(labels, &[], shard, seed)
    }

    /// [`Self::share`] of texts that have a group each, as [`Partition::Column`] needs:
    /// `groups[i]` is the number of text i's value in the column.
    ///
    /// # Errors
    /// What [`Self::shares`] finds; the default partition has no errors.
    pub fn share_grouped(
        &self,
        labels: &[usize],
        groups: &[usize],
        shard: u32,
        seed: u32,
    ) -> Result<Share, SettingsError> {
        if self.is_plain() {
            return Ok(iid::share(self, labels, shard, seed));
        }
        let mut shares = self.shares(labels, groups, seed)?;
        // There is at least one, or there was an error.
        let place = shard as usize % shares.len().max(1);
        Ok(shares.swap_remove(place))
    }

    /// The texts of all `clients`; no text is at two of them, unless the default partition has
    /// more clients than texts for them.
    ///
    /// # Errors
    /// A number of clients or shards that the corpus is too small for, or a partition by column
    /// without a group for each text.
    pub fn shares(
        &self,
        labels: &[usize],
        groups: &[usize],
        seed: u32,
    ) -> Result<Vec<Share>, SettingsError> {
        if self.is_plain() {
            let clients = 0..self.clients;
            return Ok(clients
                .map(|shard| iid::share(self, labels, shard, seed))
                .collect());
        }
        let texts = plan::texts(self, labels, groups, seed)?;
        Ok(gold::place(self, labels, texts, seed))
    }

    /// Texts of a client of mean size.
    fn size(&self) -> usize {
        self.gold as usize + self.unlabelled as usize
    }
}

#[cfg(test)]
mod tests;
