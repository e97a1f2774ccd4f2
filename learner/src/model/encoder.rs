//! BERT's encoder and head (Devlin et al. 2019): layer norms behind each half of a layer.

use candle_core::{Device, Tensor};
use fl_core::settings::LoraTarget;

use super::active::Active;
use super::packed::Packed;
use super::parts::{NormId, ProjectionId, Reader, TableId};
use crate::Result;
use crate::config::Config;
use crate::ops::{Attention, Gelu, Queries};

/// Where each step of the model finds its weights.
#[derive(Debug)]
pub(crate) struct Encoder {
    heads: usize,
    pub(crate) words: TableId,
    positions: TableId,
    types: TableId,
    embedding_norm: NormId,
    layers: Vec<Layer>,
    transform: ProjectionId,
    transform_norm: NormId,
}

/// The weights of one transformer layer.
#[derive(Debug)]
struct Layer {
    query: ProjectionId,
    key: ProjectionId,
    value: ProjectionId,
    attention_output: ProjectionId,
    attention_norm: NormId,
    feed_forward_in: ProjectionId,
    feed_forward_out: ProjectionId,
    output_norm: NormId,
}

impl Encoder {
    pub(crate) fn read(config: &Config, reader: &mut Reader<'_, '_>) -> Result<Self> {
        let (hidden, epsilon) = (config.hidden_size, config.layer_norm_eps);
        let mut table = |part: &str, rows| {
            let path = format!("bert.embeddings.{part}_embeddings");
            reader.table(&path, [rows, hidden])
        };
        Ok(Self {
            heads: config.num_attention_heads,
            words: table("word", config.vocab_size)?,
            positions: table("position", config.max_position_embeddings)?,
            types: table("token_type", config.type_vocab_size)?,
            embedding_norm: reader.norm("bert.embeddings.LayerNorm", hidden, epsilon)?,
            layers: (0..config.num_hidden_layers)
                .map(|index| Layer::read(config, index, reader))
                .collect::<Result<_>>()?,
            transform: reader.projection(
                "cls.predictions.transform.dense",
                &[],
                [hidden, hidden],
            )?,
            transform_norm: reader.norm("cls.predictions.transform.LayerNorm", hidden, epsilon)?,
        })
    }

    /// The hidden state before the decoder at each prompt's mask, (B, H).
    pub(crate) fn forward(&self, packed: &Packed, active: &Active) -> Result<Tensor> {
        let masks = Tensor::new(&packed.masks[..], &Device::Cpu)?;
        let mut x = self.embed(packed, active)?;
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let keys = active.project(layer.key, &x)?;
            let values = active.project(layer.value, &x)?;
            // After the last layer's keys and values, only the masks' rows are needed.
            let queries = match index == last {
                true => {
                    x = x.index_select(&masks, 0)?;
                    Queries::One
                }
                false => Queries::All,
            };
            let asked = active.project(layer.query, &x)?;
            let qkv = [&asked, &keys, &values];
            let lengths = &packed.lengths;
            let context = Attention::forward(self.heads, lengths, queries, qkv)?;
            x = layer.after_attention(&context, &x, active)?;
        }
        let x = Gelu::forward(&active.project(self.transform, &x)?)?;
        active.norm(self.transform_norm, &x)
    }

    /// (N, H): word, position and type embeddings, normalised.
    fn embed(&self, packed: &Packed, active: &Active) -> Result<Tensor> {
        let words = active.rows(self.words, &packed.ids)?;
        let positions = active.rows(self.positions, &packed.positions)?;
        let types = active.rows(self.types, &[0])?;
        let x = (words + positions.broadcast_add(&types)?)?;
        active.norm(self.embedding_norm, &x)
    }
}

impl Layer {
    fn read(config: &Config, index: usize, reader: &mut Reader<'_, '_>) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let epsilon = config.layer_norm_eps;
        let name = |part: &str| format!("bert.encoder.layer.{index}.{part}");
        let mut projection = |part: &str, targets, shape| {
            let path = name(part);
            reader.projection(&path, targets, shape)
        };
        let square = [hidden, hidden];
        Ok(Self {
            query: projection("attention.self.query", &[LoraTarget::Query], square)?,
            key: projection("attention.self.key", &[LoraTarget::Key], square)?,
            value: projection("attention.self.value", &[LoraTarget::Value], square)?,
            attention_output: projection(
                "attention.output.dense",
                &[LoraTarget::AttentionOutput],
                square,
            )?,
            feed_forward_in: projection(
                "intermediate.dense",
                &[LoraTarget::FeedForwardIn],
                [inner, hidden],
            )?,
            feed_forward_out: projection(
                "output.dense",
                &[LoraTarget::FeedForwardOut],
                [hidden, inner],
            )?,
            attention_norm: reader.norm(&name("attention.output.LayerNorm"), hidden, epsilon)?,
            output_norm: reader.norm(&name("output.LayerNorm"), hidden, epsilon)?,
        })
    }

    /// The layer's second half, for rows of attention's `context` and of the layer's input `x`.
    fn after_attention(&self, context: &Tensor, x: &Tensor, active: &Active) -> Result<Tensor> {
        let context = active.project(self.attention_output, context)?;
        let x = active.add_norm(self.attention_norm, &context, x)?;
        let inner = Gelu::forward(&active.project(self.feed_forward_in, &x)?)?;
        let y = active.project(self.feed_forward_out, &inner)?;
        active.add_norm(self.output_norm, &y, &x)
    }
}
