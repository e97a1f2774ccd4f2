//! The settings of a partition: who holds how many texts, of which labels, and who has gold.

use serde::{Deserialize, Serialize};

use super::Deal;
use crate::error::SettingsError;
use crate::settings::{positive, within};

/// Which texts lie together at one client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Partition {
    /// Every client has the corpus's mix of labels.
    #[default]
    Iid,
    /// Each client's mix of labels is drawn from Dir(alpha · the corpus's mix), sizes are as asked
    /// (Hsu et al. 2019, arXiv 1909.06335). Where a label runs out, later clients get others.
    LabelMix {
        /// The smaller, the more each client leans to few labels. 0.001 to 1,000,000.
        alpha: f32,
    },
    /// Each label's texts are spread over the clients by Dir(alpha), so that sizes differ too
    /// (Li et al. 2022, arXiv 2102.02079). Nobody is left without a text.
    LabelSpread {
        /// The smaller, the fewer clients hold most of a label. 0.001 to 1,000,000.
        alpha: f32,
    },
    /// Texts are sorted by label and cut into equal shards, of which each client gets some
    /// (McMahan et al. 2017).
    LabelShards {
        /// Shards of one client: about how many labels it sees. 1 to 1,000.
        per_client: u32,
    },
    /// Texts with one value in a column, a domain or an author, lie together. With more values
    /// than clients a client has several; with fewer, clients divide the texts of one.
    Column {
        /// The column's name.
        column: String,
    },
}

/// How many texts each client holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Sizes {
    /// All the same.
    #[default]
    Equal,
    /// In proportion to e^(sigma · z), z from the normal distribution; all together as many as if
    /// they were equal, and at least one each.
    LogNormal {
        /// 0 to 5.
        sigma: f32,
    },
    /// In proportion to 1/rank^exponent, the ranks dealt at random; all together as many as if
    /// they were equal, and at least one each.
    PowerLaw {
        /// 0 to 5.
        exponent: f32,
    },
}

/// Which of a client's texts carry their label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum GoldPlacement {
    /// Every client's gold is balanced over the labels that it holds.
    #[default]
    Balanced,
    /// The labels of each client's gold are drawn from Dir(alpha, …, alpha).
    Dirichlet {
        /// The smaller, the more a client's gold leans to one label. 0.001 to 1,000,000.
        alpha: f32,
    },
    /// Few clients hold all the gold of everyone, balanced over labels; the others hold none.
    Few {
        /// Share of the clients that hold it, at least one. Above 0, at most 1.
        holders: f32,
    },
}

impl Deal {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        within("texts.deal.gold", self.gold.into(), 1.0, 10_000.0)?;
        within(
            "texts.deal.unlabelled",
            self.unlabelled.into(),
            0.0,
            100_000.0,
        )?;
        let least = f64::from(u8::from(!self.is_plain()));
        within("texts.deal.clients", self.clients.into(), least, 100_000.0)?;
        match &self.partition {
            Partition::Iid => {}
            Partition::LabelMix { alpha } | Partition::LabelSpread { alpha } => {
                concentration("texts.deal.partition.alpha", *alpha)?;
            }
            Partition::LabelShards { per_client } => {
                let field = "texts.deal.partition.per_client";
                within(field, (*per_client).into(), 1.0, 1_000.0)?;
            }
            Partition::Column { column } if column.is_empty() => {
                let (field, expected) = ("texts.deal.partition.column", "a column's name");
                return Err(SettingsError::new(field, expected, "nothing"));
            }
            Partition::Column { .. } => {}
        }
        self.check_sizes()?;
        match self.gold_placement {
            GoldPlacement::Balanced => Ok(()),
            GoldPlacement::Dirichlet { alpha } => {
                concentration("texts.deal.gold_placement.alpha", alpha)
            }
            GoldPlacement::Few { holders } => {
                positive("texts.deal.gold_placement.holders", holders.into(), 1.0)
            }
        }
    }

    /// Checks what a room of tabs cannot do and `lpfl simulate` can.
    pub(crate) fn check_for_room(&self) -> Result<(), SettingsError> {
        match self.partition {
            Partition::Column { .. } => Err(SettingsError::new(
                "texts.deal.partition",
                "a partition by labels (this one works only in lpfl simulate)",
                "column",
            )),
            _ => Ok(()),
        }
    }

    fn check_sizes(&self) -> Result<(), SettingsError> {
        match self.sizes {
            Sizes::Equal => return Ok(()),
            Sizes::LogNormal { sigma } => {
                within("texts.deal.sizes.sigma", sigma.into(), 0.0, 5.0)?;
            }
            Sizes::PowerLaw { exponent } => {
                within("texts.deal.sizes.exponent", exponent.into(), 0.0, 5.0)?;
            }
        }
        let (own, name) = match self.partition {
            Partition::LabelSpread { .. } => (true, "label_spread"),
            Partition::LabelShards { .. } => (true, "label_shards"),
            _ => (false, ""),
        };
        if own {
            let expected = format!("equal, because the partition {name} makes its own sizes");
            let got = format!("{:?}", self.sizes);
            return Err(SettingsError::new("texts.deal.sizes", expected, got));
        }
        Ok(())
    }

    /// Whether the deal is IID, of equal sizes and with balanced gold, so that a client's share
    /// does not depend on how many clients there are.
    pub(super) fn is_plain(&self) -> bool {
        self.partition == Partition::Iid
            && self.sizes == Sizes::Equal
            && self.gold_placement == GoldPlacement::Balanced
    }
}

fn concentration(field: &str, alpha: f32) -> Result<(), SettingsError> {
    within(field, alpha.into(), 0.000_999, 1e6)
}
