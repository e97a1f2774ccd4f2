//! Which of LoRA's matrices a round trains, and updates that leave the others out.

use std::borrow::Cow;

use super::factors::{A, B};
use crate::adapter::{Adapter, AdapterLayout};

/// The matrices that clients train and send; those that are not LoRA's always belong to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// A and B.
    Both,
    /// A; B stays the global one.
    OnlyA,
    /// B; A stays the global one.
    OnlyB,
}

impl Trained {
    /// Whether the matrix of this name is trained.
    pub fn includes(self, name: &str) -> bool {
        match self {
            Self::Both => true,
            Self::OnlyA => !name.ends_with(B),
            Self::OnlyB => !name.ends_with(A),
        }
    }

    /// The layout of an update that holds the trained matrices only.
    pub fn layout(self, layout: &AdapterLayout) -> AdapterLayout {
        let shapes = layout.shapes.iter();
        AdapterLayout {
            shapes: shapes
                .filter(|(name, _)| self.includes(name))
                .map(|(name, shape)| (name.clone(), *shape))
                .collect(),
        }
    }

    /// The trained matrices of an adapter: what travels.
    pub fn part(self, adapter: &Adapter) -> Cow<'_, Adapter> {
        if self == Self::Both {
            return Cow::Borrowed(adapter);
        }
        let mut part = adapter.clone();
        part.matrices.retain(|name, _| self.includes(name));
        Cow::Owned(part)
    }

    /// An update with the global adapter's matrices wherever this round trains none.
    pub fn whole<'a>(self, update: &'a Adapter, global: &Adapter) -> Cow<'a, Adapter> {
        if self == Self::Both {
            return Cow::Borrowed(update);
        }
        let mut whole = update.clone();
        for (name, matrix) in &global.matrices {
            if !self.includes(name) {
                whole.matrices.insert(name.clone(), matrix.clone());
            }
        }
        Cow::Owned(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::testing::lora;

    #[test]
    fn part_and_whole_are_inverse() {
        let (update, global) = (lora(1, 2), lora(2, 2));
        for trained in [Trained::Both, Trained::OnlyA, Trained::OnlyB] {
            let part = trained.part(&update);
            trained.layout(&global.layout()).check(&part).unwrap();
            let whole = trained.whole(&part, &global);
            for (name, matrix) in &whole.matrices {
                let from = if trained.includes(name) {
                    &update
                } else {
                    &global
                };
                assert_eq!(matrix, &from.matrices[name]);
            }
            assert_eq!(whole.layout(), global.layout());
        }
    }
}
