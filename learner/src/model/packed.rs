//! Prompts one after the other as one batch, without padding.

use std::sync::Arc;

use crate::prompt::Cloze;

/// The tokens of a batch of prompts.
pub(crate) struct Packed {
    pub(crate) ids: Vec<u32>,
    /// Place of each token in its prompt.
    pub(crate) positions: Vec<u32>,
    /// Row of each prompt's mask.
    pub(crate) masks: Vec<u32>,
    pub(crate) lengths: Arc<[usize]>,
}

impl Packed {
    pub(crate) fn new(prompts: &[&Cloze]) -> Self {
        let mut packed = Self {
            ids: Vec::new(),
            positions: Vec::new(),
            masks: Vec::new(),
            lengths: prompts.iter().map(|prompt| prompt.ids().len()).collect(),
        };
        for prompt in prompts {
            packed.masks.push((packed.ids.len() + prompt.mask()) as u32);
            packed.ids.extend(prompt.ids());
            packed.positions.extend(0..prompt.ids().len() as u32);
        }
        packed
    }
}
