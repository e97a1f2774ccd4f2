//! Where the post-norm architectures keep their weights, by Hugging Face's names.

use crate::config::Architecture;

/// The names of one architecture. Those of a layer's parts follow the layer's own.
#[derive(Debug)]
pub(super) struct Paths {
    /// What models saved without their head lack in front of every name.
    pub(super) prefix: &'static str,
    pub(super) embeddings: &'static str,
    /// From the embeddings' width to the hidden states'.
    pub(super) mapping: &'static str,
    pub(super) query: &'static str,
    pub(super) key: &'static str,
    pub(super) value: &'static str,
    pub(super) attention_output: &'static str,
    pub(super) attention_norm: &'static str,
    pub(super) feed_forward_in: &'static str,
    pub(super) feed_forward_out: &'static str,
    pub(super) output_norm: &'static str,
    pub(super) transform: &'static str,
    pub(super) transform_norm: &'static str,
    pub(super) decoder: &'static str,
    /// The decoder's bias, by its names in files of different ages.
    pub(super) biases: &'static [&'static str],
}

pub(super) const BERT: Paths = Paths {
    prefix: "bert.",
    embeddings: "bert.embeddings",
    mapping: "bert.embeddings_project",
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    feed_forward_in: "intermediate.dense",
    feed_forward_out: "output.dense",
    output_norm: "output.LayerNorm",
    transform: "cls.predictions.transform.dense",
    transform_norm: "cls.predictions.transform.LayerNorm",
    decoder: "cls.predictions.decoder",
    biases: &["cls.predictions.bias", "cls.predictions.decoder.bias"],
};

pub(super) const ROBERTA: Paths = Paths {
    prefix: "roberta.",
    embeddings: "roberta.embeddings",
    transform: "lm_head.dense",
    transform_norm: "lm_head.layer_norm",
    decoder: "lm_head.decoder",
    biases: &["lm_head.bias", "lm_head.decoder.bias"],
    ..BERT
};

pub(super) const ELECTRA: Paths = Paths {
    prefix: "electra.",
    embeddings: "electra.embeddings",
    mapping: "electra.embeddings_project",
    transform: "generator_predictions.dense",
    transform_norm: "generator_predictions.LayerNorm",
    decoder: "generator_lm_head",
    biases: &["generator_lm_head.bias"],
    ..BERT
};

pub(super) const DISTILBERT: Paths = Paths {
    prefix: "distilbert.",
    embeddings: "distilbert.embeddings",
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    feed_forward_in: "ffn.lin1",
    feed_forward_out: "ffn.lin2",
    output_norm: "output_layer_norm",
    transform: "vocab_transform",
    transform_norm: "vocab_layer_norm",
    decoder: "vocab_projector",
    biases: &["vocab_projector.bias"],
    ..BERT
};

pub(super) const ALBERT: Paths = Paths {
    prefix: "albert.",
    embeddings: "albert.embeddings",
    mapping: "albert.encoder.embedding_hidden_mapping_in",
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    attention_output: "attention.dense",
    attention_norm: "attention.LayerNorm",
    feed_forward_in: "ffn",
    feed_forward_out: "ffn_output",
    output_norm: "full_layer_layer_norm",
    transform: "predictions.dense",
    transform_norm: "predictions.LayerNorm",
    decoder: "predictions.decoder",
    biases: &["predictions.bias", "predictions.decoder.bias"],
};

impl Paths {
    /// The names of the layers that have weights of their own, and which of them each step of
    /// the encoder uses.
    pub(super) fn layers(&self, architecture: &Architecture, count: usize) -> Layers {
        let Architecture::Albert { groups, inner } = *architecture else {
            let stem = match architecture {
                Architecture::DistilBert => "transformer.layer",
                _ => "encoder.layer",
            };
            let name = |index| format!("{}{stem}.{index}", self.prefix);
            return Layers {
                names: (0..count).map(name).collect(),
                steps: (0..count).collect(),
            };
        };
        let name = |index: usize| {
            let (group, layer) = (index / inner, index % inner);
            format!("albert.encoder.albert_layer_groups.{group}.albert_layers.{layer}")
        };
        // As transformers divides, in floating point, for counts that do not divide evenly.
        let per_group = count as f64 / groups as f64;
        let group = |step: usize| (step as f64 / per_group) as usize;
        let steps = (0..count).flat_map(|step| (0..inner).map(move |i| (step, i)));
        Layers {
            names: (0..groups * inner).map(name).collect(),
            steps: steps.map(|(step, i)| group(step) * inner + i).collect(),
        }
    }
}

/// An encoder's layers.
pub(super) struct Layers {
    /// The path of each.
    pub(super) names: Vec<String>,
    /// Which one is used, step after step.
    pub(super) steps: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_layers_are_used_in_turn() {
        let steps = |groups, inner, count| {
            let albert = Architecture::Albert { groups, inner };
            ALBERT.layers(&albert, count).steps
        };
        assert_eq!(steps(1, 1, 3), [0, 0, 0]);
        assert_eq!(steps(2, 1, 4), [0, 0, 1, 1]);
        assert_eq!(steps(2, 1, 3), [0, 0, 1]);
        assert_eq!(steps(2, 2, 2), [0, 1, 2, 3]);
        let names = ALBERT
            .layers(
                &Architecture::Albert {
                    groups: 2,
                    inner: 2,
                },
                2,
            )
            .names;
        let last = "albert.encoder.albert_layer_groups.1.albert_layers.1";
        assert_eq!(names[3], last);
    }
}
