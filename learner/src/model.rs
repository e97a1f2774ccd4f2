//! The frozen masked language model: BERT with its head (Devlin et al. 2019), asked at the mask
//! only.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::Result;
use crate::config::Config;
use crate::error::WEIGHTS;
use crate::lora::Adapted;
use crate::ops::{AddLayerNorm, Attention, FrozenLinear, Gelu, LayerNormWeights, Queries};
use crate::prompt::Encoded;
use crate::tokenize::Vocabulary;
use crate::weights::{WeightFile, Weights};

/// A base model: tokenizer and frozen f32 tensors. Cheap to clone; clones share the tensors.
#[derive(Clone, Debug)]
pub struct BaseModel(Arc<Base>);

#[derive(Debug)]
struct Base {
    config: Config,
    vocabulary: Vocabulary,
    words: Tensor,
    /// Position embeddings, each with the embedding of the first token type added.
    positions: Tensor,
    embedding_norm: LayerNormWeights,
    layers: Vec<Layer>,
    transform: FrozenLinear,
    transform_norm: LayerNormWeights,
    decoder: Tensor,
    decoder_bias: Vec<f32>,
    parameters: u64,
    stored: BTreeMap<String, u64>,
}

/// The weights of one transformer layer.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) query: FrozenLinear,
    key: FrozenLinear,
    pub(crate) value: FrozenLinear,
    attention_output: FrozenLinear,
    attention_norm: LayerNormWeights,
    intermediate: FrozenLinear,
    output: FrozenLinear,
    output_norm: LayerNormWeights,
}

/// Prompts one after the other, without padding.
struct Packed {
    ids: Vec<u32>,
    positions: Vec<u32>,
    /// Row of each prompt's mask.
    masks: Vec<u32>,
    lengths: Arc<[usize]>,
}

impl BaseModel {
    /// Reads the three files of a Hugging Face directory: `config.json` of model type bert,
    /// `tokenizer.json` with a WordPiece model, and `model.safetensors` in f32, f16 or bf16, with
    /// the masked-LM head.
    ///
    /// # Errors
    /// The first thing that does not fit, named by file and field or tensor.
    pub fn from_bytes(config_json: &[u8], tokenizer_json: &[u8], weights: &[u8]) -> Result<Self> {
        let weights = WeightFile::from_bytes(WEIGHTS, weights);
        Self::from_files(config_json, tokenizer_json, [weights])
    }

    /// Like [`Self::from_bytes`], with the weights in one or more files, in any order, which are
    /// read tensor by tensor.
    ///
    /// # Errors
    /// The first thing that does not fit, named by file and field or tensor.
    pub fn from_files<'a>(
        config_json: &[u8],
        tokenizer_json: &[u8],
        weights: impl IntoIterator<Item = WeightFile<'a>>,
    ) -> Result<Self> {
        let config = Config::new(config_json)?;
        let vocabulary = Vocabulary::new(tokenizer_json, config.vocab_size)?;
        let mut weights = Weights::new(weights)?;
        Ok(Self(Arc::new(Base::new(config, vocabulary, &mut weights)?)))
    }

    /// Checks `config.json` alone: whether this program can follow a model of its kind.
    ///
    /// # Errors
    /// The first field that does not fit.
    pub fn check_config(config_json: &[u8]) -> Result<()> {
        Config::new(config_json).map(drop)
    }

    /// Number of parameters read; tied weights count once.
    pub fn parameters(&self) -> u64 {
        self.0.parameters
    }

    /// Number of parameters by their type in the files: `F32`, `F16` or `BF16`.
    pub fn stored(&self) -> &BTreeMap<String, u64> {
        &self.0.stored
    }

    /// Width of the hidden states.
    pub fn hidden(&self) -> usize {
        self.0.config.hidden_size
    }

    /// Number of transformer layers.
    pub fn layers(&self) -> usize {
        self.0.layers.len()
    }

    /// Most tokens of a prompt.
    pub fn positions(&self) -> usize {
        self.0.config.max_position_embeddings
    }

    /// The text's token ids, without special tokens; what looks like one in the text is text.
    pub fn token_ids(&self, text: &str) -> Vec<u32> {
        self.vocabulary().split(text)
    }

    pub(crate) fn vocabulary(&self) -> &Vocabulary {
        &self.0.vocabulary
    }

    pub(crate) fn layer(&self, index: usize) -> &Layer {
        &self.0.layers[index]
    }

    /// The decoder's part for these words, one row per list of words: the mean of their rows.
    ///
    /// The mean logit of several words is linear in the hidden state, so it is one row's logit.
    pub(crate) fn decoder(&self, words: &[Vec<u32>]) -> Result<FrozenLinear> {
        let (mut rows, mut bias) = (Vec::new(), Vec::new());
        for words in words {
            let ids = Tensor::new(&words[..], &Device::Cpu)?;
            rows.push(self.0.decoder.index_select(&ids, 0)?.mean_keepdim(0)?);
            let biases = words.iter().map(|&id| self.0.decoder_bias[id as usize]);
            bias.push(biases.sum::<f32>() / words.len() as f32);
        }
        Ok(FrozenLinear::new(Tensor::cat(&rows, 0)?, bias))
    }

    /// The label scores at each prompt's mask.
    ///
    /// # Shapes
    /// B prompts, `head` (L, H) -> (B, L)
    pub(crate) fn forward(
        &self,
        prompts: &[&Encoded],
        adapted: &[Adapted],
        head: &FrozenLinear,
    ) -> Result<Tensor> {
        let packed = Packed::new(prompts);
        let masks = Tensor::new(&packed.masks[..], &Device::Cpu)?;
        let mut x = self.0.embed(&packed)?;
        let last = self.0.layers.len() - 1;
        for (index, (layer, adapted)) in self.0.layers.iter().zip(adapted).enumerate() {
            let keys = layer.key.forward(&x)?;
            let values = adapted.value.forward(&x)?;
            // After the last layer's keys and values, only the masks' rows are needed.
            let queries = match index == last {
                true => {
                    x = x.index_select(&masks, 0)?;
                    Queries::One
                }
                false => Queries::All,
            };
            let asked = adapted.query.forward(&x)?;
            let qkv = [&asked, &keys, &values];
            let heads = self.0.config.num_attention_heads;
            let context = Attention::forward(heads, &packed.lengths, queries, qkv)?;
            x = layer.after_attention(&context, &x)?;
        }
        let x = Gelu::forward(&self.0.transform.forward(&x)?)?;
        let x = AddLayerNorm::forward(&self.0.transform_norm, &x, &x.zeros_like()?)?;
        Ok(head.forward(&x)?)
    }
}

impl Base {
    fn new(config: Config, vocabulary: Vocabulary, weights: &mut Weights<'_>) -> Result<Self> {
        let (size, hidden) = (config.vocab_size, config.hidden_size);
        let epsilon = config.layer_norm_eps;
        let name = |part: &str| format!("bert.embeddings.{part}");
        let words = weights.tensor(&name("word_embeddings.weight"), &[size, hidden])?;
        let shape = [config.max_position_embeddings, hidden];
        let positions = weights.tensor(&name("position_embeddings.weight"), &shape)?;
        let shape = [config.type_vocab_size, hidden];
        let types = weights.tensor(&name("token_type_embeddings.weight"), &shape)?;
        let positions = positions.broadcast_add(&types.narrow(0, 0, 1)?)?;
        let embedding_norm = weights.layer_norm(&name("LayerNorm"), hidden, epsilon)?;
        let layers = (0..config.num_hidden_layers)
            .map(|index| Layer::new(&config, index, weights))
            .collect::<Result<_>>()?;
        let transform = weights.linear("cls.predictions.transform.dense", hidden, hidden)?;
        let norm = "cls.predictions.transform.LayerNorm";
        let transform_norm = weights.layer_norm(norm, hidden, epsilon)?;
        let bias = ["cls.predictions.bias", "cls.predictions.decoder.bias"];
        let decoder_bias = weights.values(&bias, &[size])?;
        let decoder = weights.find(&["cls.predictions.decoder.weight"], &[size, hidden])?;
        let decoder = match decoder {
            Some(values) => Tensor::from_vec(values, (size, hidden), &Device::Cpu)?,
            None => words.clone(),
        };
        Ok(Self {
            parameters: weights.parameters(),
            stored: weights.stored(),
            config,
            vocabulary,
            words,
            positions,
            embedding_norm,
            layers,
            transform,
            transform_norm,
            decoder,
            decoder_bias,
        })
    }

    /// (N, H): word, position and type embeddings, normalised.
    fn embed(&self, packed: &Packed) -> Result<Tensor> {
        let rows =
            |table: &Tensor, ids: &[u32]| table.index_select(&Tensor::new(ids, &Device::Cpu)?, 0);
        let words = rows(&self.words, &packed.ids)?;
        let positions = rows(&self.positions, &packed.positions)?;
        Ok(self.embedding_norm.forward(&(words + positions)?)?)
    }
}

impl Layer {
    fn new(config: &Config, index: usize, weights: &mut Weights<'_>) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.intermediate_size);
        let name = |part: &str| format!("bert.encoder.layer.{index}.{part}");
        let mut square = |part: &str| weights.linear(&name(part), hidden, hidden);
        let query = square("attention.self.query")?;
        let key = square("attention.self.key")?;
        let value = square("attention.self.value")?;
        let attention_output = square("attention.output.dense")?;
        let epsilon = config.layer_norm_eps;
        let norm = name("attention.output.LayerNorm");
        Ok(Self {
            query,
            key,
            value,
            attention_output,
            attention_norm: weights.layer_norm(&norm, hidden, epsilon)?,
            intermediate: weights.linear(&name("intermediate.dense"), inner, hidden)?,
            output: weights.linear(&name("output.dense"), hidden, inner)?,
            output_norm: weights.layer_norm(&name("output.LayerNorm"), hidden, epsilon)?,
        })
    }

    /// The layer's second half, for rows of attention's `context` and of the layer's input `x`.
    fn after_attention(&self, context: &Tensor, x: &Tensor) -> Result<Tensor> {
        let context = self.attention_output.forward(context)?;
        let x = AddLayerNorm::forward(&self.attention_norm, &context, x)?;
        let inner = Gelu::forward(&self.intermediate.forward(&x)?)?;
        let y = self.output.forward(&inner)?;
        Ok(AddLayerNorm::forward(&self.output_norm, &y, &x)?)
    }
}

impl Packed {
    fn new(prompts: &[&Encoded]) -> Self {
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

#[cfg(test)]
mod tests;
