//! What was found in a model's files, for people.

use std::collections::BTreeMap;

use fl_core::settings::LoraTarget;
use serde::Serialize;

use super::BaseModel;

/// What a model is, as `lpfl model info` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelInfo {
    /// The `model_type` of `config.json`.
    pub architecture: &'static str,
    /// Transformer layers that a token passes through.
    pub layers: usize,
    /// Width of the hidden states.
    pub hidden: usize,
    /// Width of the embeddings.
    pub embedding: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Width inside the feed-forward networks.
    pub feed_forward: usize,
    /// Rows of the word embeddings.
    pub vocabulary: usize,
    /// Most tokens of a prompt.
    pub max_tokens: usize,
    /// Parameters that are used; tied and shared ones count once.
    pub parameters: u64,
    /// Bytes of the parameters as they are held, in f32.
    pub bytes: u64,
    /// Parameters by their type in the files: `F32`, `F16` or `BF16`.
    pub stored: BTreeMap<String, u64>,
    /// `WordPiece`, `BPE` or `Unigram`.
    pub tokenizer: &'static str,
    /// The token to fill in.
    pub mask_token: String,
    /// By target, what LoRA would add.
    pub lora: BTreeMap<LoraTarget, LoraInfo>,
}

/// What LoRA on one target would add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LoraInfo {
    /// Paths of the modules that it adapts.
    pub modules: Vec<String>,
    /// Parameters for each unit of rank: the widths in and out of every module.
    pub parameters_per_rank: u64,
}

/// Every target, in the order of a layer's work.
const TARGETS: [LoraTarget; 6] = [
    LoraTarget::Query,
    LoraTarget::Key,
    LoraTarget::Value,
    LoraTarget::AttentionOutput,
    LoraTarget::FeedForwardIn,
    LoraTarget::FeedForwardOut,
];

impl BaseModel {
    /// What was found in the model's files, and what LoRA would add to it.
    ///
    /// A module that holds several targets, as ModernBERT's `Wqkv` does, is told under each of
    /// them and is adapted once, whichever of them are chosen.
    pub fn info(&self) -> ModelInfo {
        let (config, vocabulary) = (&self.base.config, &self.base.vocabulary);
        ModelInfo {
            architecture: config.architecture.name(),
            layers: self.layers(),
            hidden: self.hidden(),
            embedding: config.embedding_size,
            heads: config.num_attention_heads,
            feed_forward: config.intermediate_size,
            vocabulary: config.vocab_size,
            max_tokens: self.positions(),
            parameters: self.parameters(),
            bytes: self.parameters() * 4,
            stored: self.base.stored.clone(),
            tokenizer: vocabulary.kind(),
            mask_token: vocabulary.spell(&[vocabulary.mask]).concat(),
            lora: TARGETS
                .map(|target| (target, self.lora_info(target)))
                .into(),
        }
    }

    fn lora_info(&self, target: LoraTarget) -> LoraInfo {
        let parts = self.parts().projections.iter();
        let parts = parts.filter(|part| part.is_among(&[target]));
        let widths = parts.clone().map(|part| part.linear.widths());
        LoraInfo {
            modules: parts.map(|part| part.path.clone()).collect(),
            parameters_per_rank: widths.map(|(out, input)| (out + input) as u64).sum(),
        }
    }
}
