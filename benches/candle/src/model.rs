//! The forward pass: embeddings, transformer layers, and the label words' scores at the mask.

use candle_core::{D, Error, Result, Tensor, Var};
use candle_nn::{Embedding, Module as _, ops};
use serde::Deserialize;

use crate::Batch;
use crate::parts::{Norm, Projection};
use crate::tensors::Tensors;

/// A masked BERT; clones share the tensors.
#[derive(Clone, Debug)]
pub struct Model {
    words: Embedding,
    positions: Embedding,
    /// The first segment's row, (H).
    segment: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
    transform: Projection,
    head_norm: Norm,
    /// (L, H): for each label the mean of its words' rows.
    decoder: Tensor,
    /// (L)
    bias: Tensor,
}

#[derive(Clone, Debug)]
struct Layer {
    path: String,
    heads: usize,
    query: Projection,
    key: Projection,
    value: Projection,
    output: Projection,
    output_norm: Norm,
    up: Projection,
    down: Projection,
    down_norm: Norm,
}

#[derive(Deserialize)]
struct Config {
    num_hidden_layers: usize,
    num_attention_heads: usize,
    layer_norm_eps: f64,
}

impl Model {
    pub(crate) fn read(config: &[u8], tensors: &Tensors, words: &[Vec<u32>]) -> Result<Self> {
        let config: Config = serde_json::from_slice(config)
            .map_err(|error| Error::Msg(format!("config.json: {error}")))?;
        let eps = config.layer_norm_eps;
        let table = |name: &str| tensors.tensor(&format!("bert.embeddings.{name}.weight"));
        let rows = table("word_embeddings")?;
        let hidden = rows.dim(1)?;
        let bias = tensors.tensor("cls.predictions.bias")?;
        let means = words.iter().map(|words| {
            let ids = Tensor::new(words.as_slice(), rows.device())?;
            let mean = |table: &Tensor| table.index_select(&ids, 0)?.mean(0);
            Ok((mean(&rows)?, mean(&bias)?))
        });
        let (decoder, bias): (Vec<_>, Vec<_>) =
            means.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::read(tensors, index, config.num_attention_heads, eps));
        Ok(Self {
            words: Embedding::new(rows, hidden),
            positions: Embedding::new(table("position_embeddings")?, hidden),
            segment: table("token_type_embeddings")?
                .narrow(0, 0, 1)?
                .squeeze(0)?,
            norm: Norm::read(tensors, "bert.embeddings.LayerNorm", eps)?,
            layers: layers.collect::<Result<_>>()?,
            transform: Projection::read(tensors, "cls.predictions.transform.dense")?,
            head_norm: Norm::read(tensors, "cls.predictions.transform.LayerNorm", eps)?,
            decoder: Tensor::stack(&decoder, 0)?,
            bias: Tensor::stack(&bias, 0)?,
        })
    }

    /// With LoRA matrices as variables beside query and value.
    pub(crate) fn adapted(
        &self,
        adapter: &Tensors,
        scale: f64,
        variables: &mut Vec<Var>,
    ) -> Result<Self> {
        self.map(|projection, path| projection.adapted(adapter, path, scale, variables))
    }

    /// With LoRA matrices in the weights of query and value.
    pub(crate) fn merged(&self, adapter: &Tensors, scale: f64) -> Result<Self> {
        self.map(|projection, path| projection.merged(adapter, path, scale))
    }

    fn map(&self, mut change: impl FnMut(&Projection, &str) -> Result<Projection>) -> Result<Self> {
        let mut model = self.clone();
        for layer in &mut model.layers {
            let path = |part: &str| format!("{}.attention.self.{part}", layer.path);
            layer.query = change(&layer.query, &path("query"))?;
            layer.value = change(&layer.value, &path("value"))?;
        }
        Ok(model)
    }

    /// The labels' scores, (B, L).
    pub(crate) fn forward(&self, batch: &Batch) -> Result<Tensor> {
        let (_, length) = batch.ids.dims2()?;
        let positions = Tensor::arange(0, length as u32, batch.ids.device())?;
        let x = self.words.forward(&batch.ids)?;
        let x = x.broadcast_add(&self.positions.forward(&positions)?)?;
        let mut x = self.norm.forward(&x.broadcast_add(&self.segment)?)?;
        for layer in &self.layers {
            x = layer.forward(&x, batch.padding.as_ref())?;
        }
        let x = x.flatten(0, 1)?.index_select(&batch.masks, 0)?;
        let x = self.transform.forward(&x)?.gelu_erf()?;
        let x = self.head_norm.forward(&x)?;
        x.matmul(&self.decoder.t()?)?.broadcast_add(&self.bias)
    }
}

impl Layer {
    fn read(tensors: &Tensors, index: usize, heads: usize, eps: f64) -> Result<Self> {
        let path = format!("bert.encoder.layer.{index}");
        let projection = |part: &str| Projection::read(tensors, &format!("{path}.{part}"));
        let norm = |part: &str| Norm::read(tensors, &format!("{path}.{part}.LayerNorm"), eps);
        Ok(Self {
            heads,
            query: projection("attention.self.query")?,
            key: projection("attention.self.key")?,
            value: projection("attention.self.value")?,
            output: projection("attention.output.dense")?,
            output_norm: norm("attention.output")?,
            up: projection("intermediate.dense")?,
            down: projection("output.dense")?,
            down_norm: norm("output")?,
            path,
        })
    }

    /// (B, T, H) -> (B, T, H)
    fn forward(&self, x: &Tensor, padding: Option<&Tensor>) -> Result<Tensor> {
        let attended = self.output.forward(&self.attention(x, padding)?)?;
        let x = self.output_norm.forward(&(attended + x)?)?;
        let fed = self.up.forward(&x)?.gelu_erf()?;
        self.down_norm.forward(&(self.down.forward(&fed)? + x)?)
    }

    fn attention(&self, x: &Tensor, padding: Option<&Tensor>) -> Result<Tensor> {
        let (batch, length, hidden) = x.dims3()?;
        let width = hidden / self.heads;
        // (B, T, H) -> (B, heads, T, H / heads)
        let split = |x: Tensor| {
            x.reshape((batch, length, self.heads, width))?
                .transpose(1, 2)?
                .contiguous()
        };
        let query = split(self.query.forward(x)?)?;
        let key = split(self.key.forward(x)?)?;
        let value = split(self.value.forward(x)?)?;
        let mut scores = (query.matmul(&key.t()?)? / (width as f64).sqrt())?;
        if let Some(padding) = padding {
            scores = scores.broadcast_add(padding)?;
        }
        let shares = match scores.track_op() {
            true => ops::softmax(&scores, D::Minus1)?,
            // candle's own operation is fast and has no gradient.
            false => ops::softmax_last_dim(&scores)?,
        };
        let mixed = shares.matmul(&value)?.transpose(1, 2)?;
        mixed.reshape((batch, length, hidden))
    }
}
