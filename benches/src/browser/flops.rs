//! The floating-point operations that the work needs.

/// Sizes of a masked BERT with LoRA on query and value of every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Transformer layers, L.
    pub layers: u64,
    /// Heads of attention, a.
    pub heads: u64,
    /// Width of the hidden states, H.
    pub hidden: u64,
    /// Width inside the feed-forward network, F.
    pub intermediate: u64,
    /// Rank of LoRA, r.
    pub rank: u64,
    /// Label words, C.
    pub words: u64,
}

/// The class probabilities of one sequence, or a training step's share of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Class probabilities; the adapter is merged into the weights.
    Infer,
    /// Forward, backward and AdamW on the adapter.
    Train,
}

impl Sizes {
    /// Operations that one sequence of `tokens` (T) tokens needs; a multiplication with its
    /// addition counts as two, and only matrix products count.
    ///
    /// Counted is what the result depends on, and no more:
    /// - the last layer at the mask alone: there keys and values of all tokens are not needed, since
    ///   both projections can be carried out on each head's query and mixture instead;
    /// - the head at the mask and for the label words alone;
    /// - in training no gradient of frozen weights, and below the lowest layer's queries and
    ///   values no gradient at all: its keys get none.
    ///
    /// A layer's products are, forward: query, key, value, output 2TH² each; scores, mixture 2T²H
    /// each; feed-forward 4THF; in training LoRA beside query and value 4THr each. Backward, to the
    /// inputs: feed-forward 4THF; output 2TH²; of the mixture to shares and values and of the scores
    /// to queries 2T²H each; LoRA's three products of low-rank factors 6THr each. In all layers but
    /// the lowest also of the scores to keys 2T²H, and to the layer's input 6TH² and through LoRA
    /// 2THr each.
    ///
    /// In the last layer, with a heads, forward: query, its way through the key's weights, value,
    /// output 2H² each; scores, mixture 2aTH each; feed-forward 4HF; LoRA 4Hr and 2aHr + 2Hr.
    /// Backward: feed-forward 4HF; output, value, the query's way 2H² each; of the mixture to
    /// shares and of the scores to queries 2aTH each; LoRA 6Hr, and 4Hr + 4aHr. Above the lowest
    /// also of mixture and scores to the inputs 2aTH each, and the query's 2H² + 2Hr. The head:
    /// 2H² + 2HC in each direction.
    pub fn of(&self, tokens: u64, kind: Kind) -> u64 {
        let layers = (0..self.layers).map(|layer| self.of_layer(layer, tokens, kind));
        let head = 2 * self.hidden * (self.hidden + self.words);
        let directions = match kind {
            Kind::Infer => 1,
            Kind::Train => 2,
        };
        layers.sum::<u64>() + directions * head
    }

    fn of_layer(&self, layer: u64, t: u64, kind: Kind) -> u64 {
        let is_lowest = layer == 0;
        if layer + 1 == self.layers {
            return self.of_last_layer(is_lowest, t, kind);
        }
        let (h, f, r) = (self.hidden, self.intermediate, self.rank);
        let forward = 8 * t * h * h + 4 * t * t * h + 4 * t * h * f;
        if kind == Kind::Infer {
            return forward;
        }
        let lora = 2 * (4 + 6) * t * h * r;
        let backward = 4 * t * h * f + 2 * t * h * h + 6 * t * t * h;
        let to_input = match is_lowest {
            true => 0,
            false => 2 * t * t * h + 6 * t * h * h + 4 * t * h * r,
        };
        forward + lora + backward + to_input
    }

    fn of_last_layer(&self, is_lowest: bool, t: u64, kind: Kind) -> u64 {
        let (h, f, r, a) = (self.hidden, self.intermediate, self.rank, self.heads);
        let forward = 8 * h * h + 4 * a * t * h + 4 * h * f;
        if kind == Kind::Infer {
            return forward;
        }
        let lora = (4 + 2 + 6 + 4) * h * r + (2 + 4) * a * h * r;
        let backward = 4 * h * f + 6 * h * h + 4 * a * t * h;
        let to_input = match is_lowest {
            true => 0,
            false => 4 * a * t * h + 2 * h * h + 2 * h * r,
        };
        forward + lora + backward + to_input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINI: Sizes = Sizes {
        layers: 4,
        heads: 4,
        hidden: 256,
        intermediate: 1024,
        rank: 8,
        words: 2,
    };

    const SMALL: Sizes = Sizes {
        layers: 6,
        heads: 12,
        hidden: 384,
        intermediate: 1536,
        rank: 8,
        words: 2,
    };

    /// Millions, rounded, of the forward pass with the last layer at the mask only.
    #[test]
    fn forward_of_64_tokens_is_the_known_number() {
        let millions = |sizes: Sizes| (sizes.of(64, Kind::Infer) as f64 / 1e6).round();
        assert_eq!(millions(MINI), 317.0);
        assert_eq!(millions(SMALL), 1169.0);
    }

    /// Counted by hand from the list of products for one layer of width 1: T = 3, n = 1.
    #[test]
    fn one_layer_of_width_one_is_countable() {
        let sizes = Sizes {
            layers: 1,
            heads: 1,
            hidden: 1,
            intermediate: 1,
            rank: 1,
            words: 2,
        };
        let head = 2 + 4;
        // query, its way, value, output 2 each; scores and mixture 6 each; feed-forward 4
        let forward = 4 * 2 + 2 * 6 + 4;
        assert_eq!(sizes.of(3, Kind::Infer), forward + head);
        // LoRA forward 4 + 4; back through feed-forward 4, output, value and the query's way 2 each,
        // attention 2 × 6, LoRA 6 + 8
        let training = 8 + 4 + 6 + 12 + 14;
        assert_eq!(sizes.of(3, Kind::Train), forward + training + 2 * head);
    }

    #[test]
    fn only_layers_above_the_lowest_pass_a_gradient_to_their_input() {
        let two = Sizes { layers: 2, ..MINI };
        let one = Sizes { layers: 1, ..MINI };
        let (t, h, f, r, a) = (64, 256, 1024, 8, 4);
        // The layer below is a full one, and the lowest.
        let lowest = 8 * t * h * h
            + 4 * t * t * h
            + 4 * t * h * f
            + 20 * t * h * r
            + 4 * t * h * f
            + 2 * t * h * h
            + 6 * t * t * h;
        let to_input = 4 * a * t * h + 2 * h * h + 2 * h * r;
        let difference = two.of(t, Kind::Train) - one.of(t, Kind::Train);
        assert_eq!(difference, lowest + to_input);
    }
}
