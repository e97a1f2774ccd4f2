"""Step `embeddings`: word vectors from co-occurrence counts, in seconds instead of hours.

Levy & Goldberg, "Neural Word Embedding as Implicit Matrix Factorization" (2014): the truncated SVD
of the positive pointwise mutual information of words and contexts. Words that are used alike, such
as *great* and *wonderful*, lie side by side before training begins.
"""

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from tokenizers import Tokenizer

from .corpus import SPECIAL_TOKENS, VOCABULARY_SIZE

WIDTH = 256
REACH = 5
CONTEXT_POWER = 0.75
ROW_NORM = 0.6
SPECIAL_NORM = 0.06


def cooccurrences(tokens, documents):
    """Counts of pairs within REACH tokens of one document, weighted 1 / distance: (V, V)."""
    size = VOCABULARY_SIZE
    document_of = np.repeat(np.arange(len(documents) - 1, dtype=np.int32), np.diff(documents))
    counts = np.zeros(size * size, np.float32)
    chunk = 4_000_000
    for distance in range(1, REACH + 1):
        for begin in range(0, len(tokens) - distance, chunk):
            end = min(begin + chunk, len(tokens) - distance)
            left = tokens[begin:end].astype(np.int64)
            right = tokens[begin + distance:end + distance].astype(np.int64)
            together = document_of[begin:end] == document_of[begin + distance:end + distance]
            pairs, number = np.unique((left * size + right)[together], return_counts=True)
            counts[pairs] += number / distance
    counts = counts.reshape(size, size)
    return counts + counts.T


def positive_pmi(counts):
    """max(0, log p(w, c) / (p(w) p(c))), with contexts smoothed to CONTEXT_POWER."""
    words = counts.sum(1)
    contexts = words ** CONTEXT_POWER
    contexts /= contexts.sum()
    pairs = sparse.coo_matrix(counts)
    values = np.log(pairs.data / (words[pairs.row] * contexts[pairs.col]))
    positive = values > 0
    kept = (values[positive], (pairs.row[positive], pairs.col[positive]))
    return sparse.csr_matrix(kept, shape=counts.shape, dtype=np.float32)


def word_vectors(counts, seed):
    """Vectors of norm ROW_NORM: (V, WIDTH)."""
    rng = np.random.default_rng(seed)
    left, sigma, _ = randomized_svd(positive_pmi(counts), WIDTH, n_iter=4, random_state=seed)
    # The rotation spreads the few strong directions over all columns, hence over all heads.
    rotation, _ = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))
    vectors = (left * np.sqrt(sigma)) @ rotation
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unseen = norms[:, 0] < 1e-6
    vectors[unseen] = rng.standard_normal((unseen.sum(), WIDTH))
    vectors *= ROW_NORM / np.linalg.norm(vectors, axis=1, keepdims=True)
    special = rng.standard_normal((len(SPECIAL_TOKENS), WIDTH))
    vectors[:len(SPECIAL_TOKENS)] = (
        special * SPECIAL_NORM / np.linalg.norm(special, axis=1, keepdims=True))
    return vectors.astype(np.float32)


def make(work, seed):
    tokens = np.load(work / "corpus/tokens.npy", mmap_mode="r")
    documents = np.load(work / "corpus/documents.npy")
    vectors = word_vectors(cooccurrences(tokens, documents), seed)
    frequency = np.bincount(tokens, minlength=VOCABULARY_SIZE) + 1.0
    bias = np.log(frequency)
    bias -= bias.mean()
    np.savez(work / "embeddings.npz", vectors=vectors, bias=bias.astype(np.float32))
    print_neighbours(work, vectors, ["great", "terrible", "boring", "business"])


def print_neighbours(work, vectors, words):
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for word in words:
        near = np.argsort(-(unit @ unit[tokenizer.token_to_id(word)]))[1:7]
        print(word, "~", ", ".join(tokenizer.id_to_token(int(index)) for index in near))
