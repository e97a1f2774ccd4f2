//! ModernBERT (Warner et al. 2024): layer norms before each half of a layer, rotary positions,
//! global and local attention by turns, and gated feed-forward networks.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use fl_core::settings::LoraTarget;

use super::active::Active;
use super::packed::Packed;
use super::parts::{NormId, ProjectionId, Reader, TableId};
use crate::Result;
use crate::config::{Config, ModernBert, Span};
use crate::ops::{Activation, Angles, Attention, Queries, Rotary};
use crate::weights::Bias;

/// Where each step of the model finds its weights.
#[derive(Debug)]
pub(super) struct Modern {
    heads: usize,
    activation: Activation,
    head_activation: Activation,
    pub(super) words: TableId,
    embedding_norm: NormId,
    layers: Vec<Layer>,
    final_norm: NormId,
    dense: ProjectionId,
    head_norm: NormId,
}

/// The weights of one transformer layer, and how its attention looks.
#[derive(Debug)]
struct Layer {
    /// None in the first layer, whose input the embeddings' norm has just left.
    attention_norm: Option<NormId>,
    /// Query, key and value in one.
    qkv: ProjectionId,
    attention_output: ProjectionId,
    feed_forward_norm: NormId,
    feed_forward_in: ProjectionId,
    feed_forward_out: ProjectionId,
    window: Option<usize>,
    angles: Arc<Angles>,
}

/// What models saved without their head lack in front of every name.
pub(super) const PREFIX: &str = "model.";
pub(super) const DENSE: &str = "head.dense";
pub(super) const DECODER: &str = "decoder";
pub(super) const DECODER_BIAS: &[&str] = &["decoder.bias"];

impl Modern {
    pub(super) fn read(
        config: &Config,
        modern: &ModernBert,
        reader: &mut Reader<'_, '_>,
    ) -> Result<Self> {
        let (hidden, epsilon) = (config.hidden_size, config.layer_norm_eps);
        let bias = Bias::new(modern.norm_bias);
        let shape = [config.vocab_size, hidden];
        let words = reader.table("model.embeddings.tok_embeddings", shape)?;
        let embedding_norm = reader.norm("model.embeddings.norm", hidden, epsilon, bias)?;
        // Only now is the width known to be true.
        let size = hidden / config.num_attention_heads;
        let places = config.max_position_embeddings;
        let angles = |theta| Arc::new(Angles::new(theta, size, places));
        let all = angles(modern.global_theta);
        let near = match modern.local_theta == modern.global_theta {
            true => Arc::clone(&all),
            false => angles(modern.local_theta),
        };
        let mut layers = Vec::with_capacity(modern.spans.len());
        for (index, span) in modern.spans.iter().enumerate() {
            let (window, angles) = match span {
                Span::Global => (None, Arc::clone(&all)),
                Span::Local => (Some(modern.window), Arc::clone(&near)),
            };
            let weights = LayerWeights {
                config,
                modern,
                index,
            };
            reader.layer = Some(index);
            layers.push(weights.read(reader, window, angles)?);
        }
        reader.layer = None;
        let head = Bias::new(modern.head_bias);
        Ok(Self {
            heads: config.num_attention_heads,
            activation: config.activation,
            head_activation: config.head_activation,
            words,
            embedding_norm,
            layers,
            final_norm: reader.norm("model.final_norm", hidden, epsilon, bias)?,
            dense: reader.projection(DENSE, &[], [hidden, hidden], head)?,
            head_norm: reader.norm("head.norm", hidden, epsilon, bias)?,
        })
    }

    /// What goes into the layer `end`, which is not behind the last: (N, H).
    pub(super) fn before(&self, end: usize, packed: &Packed, active: &Active) -> Result<Tensor> {
        let words = active.rows(self.words, &packed.ids)?;
        let x = active.norm(self.embedding_norm, &words)?;
        self.pass(0..end, x, packed, active)
    }

    /// What the decoder is asked with, at each prompt's mask, from what goes into the layer
    /// `start`: (N, H) -> (B, H).
    pub(super) fn after(
        &self,
        start: usize,
        x: Tensor,
        packed: &Packed,
        active: &Active,
    ) -> Result<Tensor> {
        let x = self.pass(start..self.layers.len(), x, packed, active)?;
        let x = active.norm(self.final_norm, &x)?;
        let x = active.project(self.dense, &x)?;
        active.norm(self.head_norm, &self.head_activation.forward(&x)?)
    }

    /// Some layers: (N, H) -> (N, H), or (B, H) with the last one among them.
    fn pass(
        &self,
        layers: Range<usize>,
        mut x: Tensor,
        packed: &Packed,
        active: &Active,
    ) -> Result<Tensor> {
        let masks = Tensor::new(&packed.masks[..], &Device::Cpu)?;
        let last = self.layers.len() - 1;
        for index in layers {
            let layer = &self.layers[index];
            let [mut asked, keys, values] = layer.qkv(&x, packed, active)?;
            // After the last layer's keys and values, only the masks' rows are needed.
            let queries = match index == last {
                true => {
                    asked = asked.index_select(&masks, 0)?;
                    x = x.index_select(&masks, 0)?;
                    packed.masks_only()
                }
                false => Queries::All,
            };
            let qkv = [&asked, &keys, &values];
            let lengths = &packed.lengths;
            let context = Attention::forward(self.heads, lengths, layer.window, queries, qkv)?;
            x = (x + active.project(layer.attention_output, &context)?)?;
            let inner = active.norm(layer.feed_forward_norm, &x)?;
            let inner = active.project(layer.feed_forward_in, &inner)?;
            let inner = self.activation.gated(&inner)?;
            x = (x + active.project(layer.feed_forward_out, &inner)?)?;
        }
        Ok(x)
    }
}

impl Layer {
    /// Queries and keys, turned by their places, and values; each (N, H).
    fn qkv(&self, x: &Tensor, packed: &Packed, active: &Active) -> Result<[Tensor; 3]> {
        let qkv = match self.attention_norm {
            Some(norm) => active.project(self.qkv, &active.norm(norm, x)?)?,
            None => active.project(self.qkv, x)?,
        };
        let hidden = qkv.dim(1)? / 3;
        let part = |index: usize| qkv.narrow(1, index * hidden, hidden)?.contiguous();
        let turned = |index| Rotary::forward(&part(index)?, &self.angles, &packed.positions);
        Ok([turned(0)?, turned(1)?, part(2)?])
    }
}

/// One layer's names and shapes.
struct LayerWeights<'a> {
    config: &'a Config,
    modern: &'a ModernBert,
    index: usize,
}

impl LayerWeights<'_> {
    fn read(
        &self,
        reader: &mut Reader<'_, '_>,
        window: Option<usize>,
        angles: Arc<Angles>,
    ) -> Result<Layer> {
        let (hidden, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let epsilon = self.config.layer_norm_eps;
        let path = |part: &str| format!("model.layers.{}.{part}", self.index);
        let mut projection = |part: &str, targets, shape, bias| {
            reader.projection(&path(part), targets, shape, Bias::new(bias))
        };
        let (attention, mlp) = (self.modern.attention_bias, self.modern.mlp_bias);
        let fused = &[LoraTarget::Query, LoraTarget::Key, LoraTarget::Value];
        let qkv = projection("attn.Wqkv", fused, [3 * hidden, hidden], attention)?;
        let output = &[LoraTarget::AttentionOutput];
        let attention_output = projection("attn.Wo", output, [hidden, hidden], attention)?;
        let (before, behind) = (&[LoraTarget::FeedForwardIn], &[LoraTarget::FeedForwardOut]);
        let feed_forward_in = projection("mlp.Wi", before, [2 * inner, hidden], mlp)?;
        let feed_forward_out = projection("mlp.Wo", behind, [hidden, inner], mlp)?;
        let bias = Bias::new(self.modern.norm_bias);
        let mut norm = |part: &str| reader.norm(&path(part), hidden, epsilon, bias);
        Ok(Layer {
            attention_norm: match self.index {
                0 => None,
                _ => Some(norm("attn_norm")?),
            },
            qkv,
            attention_output,
            feed_forward_norm: norm("mlp_norm")?,
            feed_forward_in,
            feed_forward_out,
            window,
            angles,
        })
    }
}
