//! The encoder and head of BERT and its kin (Devlin et al. 2019): layer norms behind each half of a
//! layer, learned positions, and a transformed hidden state before the decoder.

use std::ops::Range;

use candle_core::{Device, Tensor};
use fl_core::settings::LoraTarget;

use super::active::Active;
use super::packed::Packed;
use super::parts::{NormId, ProjectionId, Reader, TableId};
use super::paths::Paths;
use crate::Result;
use crate::config::{Architecture, Config};
use crate::ops::{Activation, Attention, Queries, mixtures, own_parts};
use crate::weights::Bias;

/// Where each step of the model finds its weights.
#[derive(Debug)]
pub(super) struct Encoder {
    heads: usize,
    activation: Activation,
    head_activation: Activation,
    first_position: u32,
    pub(super) words: TableId,
    positions: TableId,
    types: Option<TableId>,
    embedding_norm: NormId,
    mapping: Option<ProjectionId>,
    /// The layers that have weights of their own.
    layers: Vec<Layer>,
    /// Which layer is used, step after step.
    steps: Vec<usize>,
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
    pub(super) fn read(
        config: &Config,
        paths: &Paths,
        reader: &mut Reader<'_, '_>,
    ) -> Result<Self> {
        let (width, hidden) = (config.embedding_size, config.hidden_size);
        let epsilon = config.layer_norm_eps;
        let mut table = |part: &str, rows| {
            let path = format!("{}.{part}_embeddings", paths.embeddings);
            reader.table(&path, [rows, width])
        };
        let words = table("word", config.vocab_size)?;
        let positions = table("position", config.max_position_embeddings)?;
        let types = match config.type_vocab_size {
            0 => None,
            count => Some(table("token_type", count)?),
        };
        let norm = format!("{}.LayerNorm", paths.embeddings);
        let embedding_norm = reader.norm(&norm, width, epsilon, Bias::With)?;
        let always = matches!(config.architecture, Architecture::Albert { .. });
        let mapping = match always || width != hidden {
            true => Some(reader.projection(paths.mapping, &[], [hidden, width], Bias::With)?),
            false => None,
        };
        let layers = paths.layers(&config.architecture, config.num_hidden_layers);
        let mut own = Vec::with_capacity(layers.names.len());
        for (index, name) in layers.names.iter().enumerate() {
            reader.layer = Some(index);
            own.push(Layer::read(config, paths, name, reader)?);
        }
        reader.layer = None;
        Ok(Self {
            heads: config.num_attention_heads,
            activation: config.activation,
            head_activation: config.head_activation,
            first_position: config.first_position as u32,
            words,
            positions,
            types,
            embedding_norm,
            mapping,
            layers: own,
            steps: layers.steps,
            transform: reader.projection(paths.transform, &[], [width, hidden], Bias::With)?,
            transform_norm: reader.norm(paths.transform_norm, width, epsilon, Bias::With)?,
        })
    }

    /// What goes into the step `end`, which is not behind the last: (N, H).
    pub(super) fn before(&self, end: usize, packed: &Packed, active: &Active) -> Result<Tensor> {
        let x = self.embed(packed, active)?;
        self.pass(0..end, x, packed, active)
    }

    /// What the decoder is asked with, at each prompt's mask, from what goes into the step `start`:
    /// (N, H) -> (B, E), E the embeddings' width.
    pub(super) fn after(
        &self,
        start: usize,
        x: Tensor,
        packed: &Packed,
        active: &Active,
    ) -> Result<Tensor> {
        let x = self.pass(start..self.steps.len(), x, packed, active)?;
        let x = active.project(self.transform, &x)?;
        active.norm(self.transform_norm, &self.head_activation.forward(&x)?)
    }

    /// Some steps: (N, H) -> (N, H), or (B, H) with the last one among them.
    fn pass(
        &self,
        steps: Range<usize>,
        mut x: Tensor,
        packed: &Packed,
        active: &Active,
    ) -> Result<Tensor> {
        let masks = Tensor::new(&packed.masks[..], &Device::Cpu)?;
        let last = self.steps.len() - 1;
        for index in steps {
            let layer = &self.layers[self.steps[index]];
            let all = x.clone();
            let queries = match index == last {
                // From here on only the masks' rows are needed.
                true => {
                    x = x.index_select(&masks, 0)?;
                    packed.masks_only()
                }
                false => Queries::All,
            };
            let asked = active.project(layer.query, &x)?;
            let few = packed.masks.len() * self.heads < packed.ids.len();
            let context = match active.absorbable(layer.key, layer.value) {
                Some(key) if index == last && few => {
                    let mixed = mixtures(self.heads, key, &packed.lengths, &asked, &all)?;
                    own_parts(self.heads, &active.project(layer.value, &mixed)?)?
                }
                _ => {
                    let keys = active.project(layer.key, &all)?;
                    let values = active.project(layer.value, &all)?;
                    let qkv = [&asked, &keys, &values];
                    Attention::forward(self.heads, &packed.lengths, None, queries, qkv)?
                }
            };
            x = self.after_attention(layer, &context, &x, active)?;
        }
        Ok(x)
    }

    /// (N, H): word, position and type embeddings, normalised and brought to the hidden width.
    fn embed(&self, packed: &Packed, active: &Active) -> Result<Tensor> {
        let places = packed.positions.iter();
        let places: Vec<u32> = places.map(|place| place + self.first_position).collect();
        let words = active.rows(self.words, &packed.ids)?;
        let mut positions = active.rows(self.positions, &places)?;
        if let Some(types) = self.types {
            positions = positions.broadcast_add(&active.rows(types, &[0])?)?;
        }
        let x = active.norm(self.embedding_norm, &(words + positions)?)?;
        match self.mapping {
            Some(mapping) => active.project(mapping, &x),
            None => Ok(x),
        }
    }

    /// A layer's second half, for rows of attention's `context` and of the layer's input `x`.
    fn after_attention(
        &self,
        layer: &Layer,
        context: &Tensor,
        x: &Tensor,
        active: &Active,
    ) -> Result<Tensor> {
        let context = active.project(layer.attention_output, context)?;
        let x = active.add_norm(layer.attention_norm, &context, x)?;
        let inner = [layer.feed_forward_in, layer.feed_forward_out];
        let y = active.feed_forward(inner, self.activation, &x)?;
        active.add_norm(layer.output_norm, &y, &x)
    }
}

impl Layer {
    fn read(
        config: &Config,
        paths: &Paths,
        layer: &str,
        reader: &mut Reader<'_, '_>,
    ) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let epsilon = config.layer_norm_eps;
        let mut projection = |part: &str, targets, shape| {
            reader.projection(&format!("{layer}.{part}"), targets, shape, Bias::With)
        };
        let (square, widen, narrow) = ([hidden, hidden], [inner, hidden], [hidden, inner]);
        let query = projection(paths.query, &[LoraTarget::Query], square)?;
        let key = projection(paths.key, &[LoraTarget::Key], square)?;
        let value = projection(paths.value, &[LoraTarget::Value], square)?;
        let output = paths.attention_output;
        let attention_output = projection(output, &[LoraTarget::AttentionOutput], square)?;
        let (before, behind) = (paths.feed_forward_in, paths.feed_forward_out);
        let feed_forward_in = projection(before, &[LoraTarget::FeedForwardIn], widen)?;
        let feed_forward_out = projection(behind, &[LoraTarget::FeedForwardOut], narrow)?;
        let mut norm =
            |part: &str| reader.norm(&format!("{layer}.{part}"), hidden, epsilon, Bias::With);
        Ok(Self {
            query,
            key,
            value,
            attention_output,
            attention_norm: norm(paths.attention_norm)?,
            feed_forward_in,
            feed_forward_out,
            output_norm: norm(paths.output_norm)?,
        })
    }
}
