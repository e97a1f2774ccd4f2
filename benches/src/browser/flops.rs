//! The floating-point operations that the work needs.

/// Sizes of a masked BERT with LoRA on query and value of every layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Transformer layers, L.
    pub layers: u64,
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
    /// - the last layer's query, attention, output and feed-forward network at the mask alone (its
    ///   keys and values are needed everywhere);
    /// - the head at the mask and for the label words alone;
    /// - in training no gradient of frozen weights, and below the lowest layer's queries and
    ///   values no gradient at all: its keys get none.
    ///
    /// With n rows of queries (T, or 1 in the last layer), a layer's products are, forward:
    /// query, output 2nH² each; key, value 2TH² each; scores, mixture 2nTH each; feed-forward
    /// 4nHF; in training LoRA beside query and value 4nHr and 4THr. Backward, to the inputs:
    /// feed-forward 4nHF; output 2nH²; of the mixture to shares and values and of the scores to
    /// queries 2nTH each; LoRA's three products of low-rank factors 6nHr and 6THr. In all layers
    /// but the lowest also of the scores to keys 2nTH, and to the layer's input 2nH² + 4TH² and
    /// through LoRA 2nHr + 2THr. The head: 2H² + 2HC in each direction.
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
        let (h, f, r) = (self.hidden, self.intermediate, self.rank);
        let n = if layer + 1 == self.layers { 1 } else { t };
        let forward = (4 * n + 4 * t) * h * h + 4 * n * t * h + 4 * n * h * f;
        if kind == Kind::Infer {
            return forward;
        }
        let lora = (4 + 6) * (n + t) * h * r;
        let backward = 4 * n * h * f + 2 * n * h * h + 6 * n * t * h;
        let to_input = match layer {
            0 => 0,
            _ => 2 * n * t * h + (2 * n + 4 * t) * h * h + 2 * (n + t) * h * r,
        };
        forward + lora + backward + to_input
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINI: Sizes = Sizes {
        layers: 4,
        hidden: 256,
        intermediate: 1024,
        rank: 8,
        words: 2,
    };

    const SMALL: Sizes = Sizes {
        layers: 6,
        hidden: 384,
        intermediate: 1536,
        rank: 8,
        words: 2,
    };

    /// Millions, rounded, of the forward pass with the last layer at the mask only.
    #[test]
    fn forward_of_64_tokens_is_the_known_number() {
        let millions = |sizes: Sizes| (sizes.of(64, Kind::Infer) as f64 / 1e6).round();
        assert_eq!(millions(MINI), 333.0);
        assert_eq!(millions(SMALL), 1205.0);
    }

    /// Counted by hand from the list of products for one layer of width 1: T = 3, n = 1.
    #[test]
    fn one_layer_of_width_one_is_countable() {
        let sizes = Sizes {
            layers: 1,
            hidden: 1,
            intermediate: 1,
            rank: 1,
            words: 2,
        };
        let head = 2 + 4;
        // query 2, output 2, key and value 6 each, scores and mixture 6 each, feed-forward 4
        let forward = 2 + 2 + 2 * 6 + 2 * 6 + 4;
        assert_eq!(sizes.of(3, Kind::Infer), forward + head);
        // LoRA forward 4 + 12; back through feed-forward 4, output 2, attention 3 × 6, LoRA 6 + 18
        let training = 16 + 4 + 2 + 18 + 24;
        assert_eq!(sizes.of(3, Kind::Train), forward + training + 2 * head);
    }

    #[test]
    fn only_layers_above_the_lowest_pass_a_gradient_to_their_input() {
        let two = Sizes { layers: 2, ..MINI };
        let one = Sizes { layers: 1, ..MINI };
        let (t, h, f, r) = (64, 256, 1024, 8);
        // The layer below is a full one, and the lowest.
        let lowest = 8 * t * h * h
            + 4 * t * t * h
            + 4 * t * h * f
            + 20 * t * h * r
            + 4 * t * h * f
            + 2 * t * h * h
            + 6 * t * t * h;
        let to_input = 2 * t * h + (2 + 4 * t) * h * h + 2 * (1 + t) * h * r;
        let difference = two.of(t, Kind::Train) - one.of(t, Kind::Train);
        assert_eq!(difference, lowest + to_input);
    }
}
