"""The model, and a start that lets it see: no plateau while attention finds out where to look."""

import math

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM

from .corpus import PAD, VOCABULARY_SIZE
from .embeddings import WIDTH

POSITION_AMPLITUDE = 0.12
ATTENTION_OUTPUT_SCALE = 0.5


def configuration():
    return BertConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=WIDTH,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=256,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD,
        tie_word_embeddings=True,
        architectures=["BertForMaskedLM"],
    )


def sinusoids(positions, width):
    """Vaswani et al., "Attention Is All You Need" (2017), section 3.5: (positions, width)."""
    angles = torch.arange(positions)[:, None] * torch.exp(
        torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=2).reshape(positions, width)


@torch.no_grad()
def new_model(vectors, bias, seed):
    """A model whose embeddings are the word vectors and whose layers pass on what they read."""
    torch.manual_seed(seed)
    model = BertForMaskedLM(configuration())
    embeddings = model.bert.embeddings
    embeddings.word_embeddings.weight.copy_(torch.from_numpy(vectors))
    embeddings.position_embeddings.weight.copy_(
        POSITION_AMPLITUDE * sinusoids(*embeddings.position_embeddings.weight.shape))
    embeddings.token_type_embeddings.weight.zero_()

    identity = torch.eye(WIDTH)
    for layer in model.bert.encoder.layer:
        attention = layer.attention
        # With one matrix for queries and keys, a token attends to its like: neighbours, at first.
        shared = torch.randn(WIDTH, WIDTH) / math.sqrt(WIDTH)
        attention.self.query.weight.copy_(shared)
        attention.self.key.weight.copy_(shared)
        attention.self.value.weight.copy_(identity)
        attention.output.dense.weight.copy_(ATTENTION_OUTPUT_SCALE * identity)

    head = model.cls.predictions
    head.transform.dense.weight.copy_(identity)
    head.bias.copy_(torch.from_numpy(bias))
    return model


def masked_loss(model, batch):
    """Weighted mean cross-entropy of a batch's answers; the head is computed at their places
    alone, once a place."""
    hidden = model.bert(input_ids=torch.from_numpy(batch.ids),
                        attention_mask=torch.from_numpy(batch.attention)).last_hidden_state
    places, answer_of = np.unique(batch.places, return_inverse=True)
    logits = model.cls(hidden.flatten(0, 1)[torch.from_numpy(places)])
    logs = torch.log_softmax(logits.float(), dim=1)
    found = logs[torch.from_numpy(answer_of), torch.from_numpy(batch.words)]
    weights = torch.from_numpy(batch.weights).float()
    return -(weights * found).sum() / weights.sum()
