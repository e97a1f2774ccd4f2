//! Prompts one after the other as one batch, without padding.

use std::sync::Arc;

use crate::ops::Queries;
use crate::prompt::Cloze;

/// The tokens of a batch of prompts.
pub(crate) struct Packed {
    pub(crate) ids: Vec<u32>,
    /// Place of each token in its prompt.
    pub(crate) positions: Arc<[u32]>,
    /// Row of each prompt's mask.
    pub(crate) masks: Vec<u32>,
    /// Place of each prompt's mask in its prompt.
    places: Arc<[usize]>,
    pub(crate) lengths: Arc<[usize]>,
}

impl Packed {
    pub(crate) fn new(prompts: &[&Cloze]) -> Self {
        let lengths: Arc<[usize]> = prompts.iter().map(|prompt| prompt.ids().len()).collect();
        let places: Arc<[usize]> = prompts.iter().map(|prompt| prompt.mask()).collect();
        let starts = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end - length)
        });
        Self {
            ids: prompts
                .iter()
                .flat_map(|prompt| prompt.ids())
                .copied()
                .collect(),
            positions: lengths
                .iter()
                .flat_map(|&length| 0..length as u32)
                .collect(),
            masks: starts
                .zip(&*places)
                .map(|(start, place)| (start + place) as u32)
                .collect(),
            places,
            lengths,
        }
    }

    /// Attention's queries when only the masks' rows ask.
    pub(crate) fn masks_only(&self) -> Queries {
        Queries::At(Arc::clone(&self.places))
    }
}
