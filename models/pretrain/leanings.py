"""Step `leanings`: whether each review leans to praise or to blame, learned from what authors say.

Some authors of unlabelled reviews write "8/10" into their text. That is a judgement of the whole
text, given by the text itself; no label of a data set is read. From these few thousand reviews a
linear model over words and pairs of words learns to judge the others. What it says of a document is
then said of each of its sentences; a second linear model learns from half a million of those, and
judges whole documents better than its teacher did, since it saw so much more text.

Written to the working directory:
- `corpus/leanings.npy`  uint8, one a document of the reviews, which are the first documents: 0 is
  sharpest blame, BINS - 1 highest praise. A bin is a quantile among the documents of one source.
"""

import json

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from .corpus import REVIEWS

BINS = 10

# A rating of 5 or 6 says neither.
BLAME, PRAISE = 4, 7
# Tokens of "n out of 10".
RATING_TOKENS = 4
# Pairs that occur less often are left out.
LEAST_PAIRS = 5
# Inverse regularisation of the two models.
DOCUMENT_STRENGTH, SENTENCE_STRENGTH = 0.01, 0.03
# Documents this many standard deviations from the middle teach the sentences.
CLEAR = 0.5
SENTENCE_TOKENS = range(5, 65)


def features(tokens, hidden):
    """Two features of every token, itself and the pair with its successor, -1 where one is hidden
    or rare: (2, tokens); and how many features there are."""
    size = int(tokens.max()) + 1
    ids = tokens.astype(np.int64)
    pairs = ids[:-1] * size + ids[1:]
    shown = ~(hidden[:-1] | hidden[1:])
    kept, counts = np.unique(pairs[shown], return_counts=True)
    kept = kept[counts >= LEAST_PAIRS]
    place = np.minimum(np.searchsorted(kept, pairs), len(kept) - 1)
    paired = np.where(shown & (kept[place] == pairs), size + place, -1)
    return np.stack([np.where(hidden, -1, ids), np.append(paired, -1)]), size + len(kept)


def table(features, width, owners, rows):
    """Which features each row has, as zeros and ones: sparse (rows, width). Owner -1 is none."""
    owners, columns = np.tile(owners, 2), features.reshape(-1)
    there = (columns >= 0) & (owners >= 0)
    cells = np.unique(owners[there] * width + columns[there])
    ones = np.ones(len(cells), np.float32)
    return sparse.csr_matrix((ones, (cells // width, cells % width)), shape=(rows, width))


def linear_model(rows, praised, strength):
    return LogisticRegression(C=strength, max_iter=200).fit(rows, praised)


def stated(tokens, documents, ratings, tokenizer):
    """Documents whose authors state a clear rating, and whether it is praise."""
    numbers = np.array([int(tokenizer.id_to_token(int(token))) for token in tokens[ratings]])
    owners = np.searchsorted(documents, ratings, side="right") - 1
    # The last one is the verdict; an earlier one may be another film's.
    last = np.append(owners[1:] != owners[:-1], True)
    clear = last & ((numbers <= BLAME) | (numbers >= PRAISE))
    return owners[clear], numbers[clear] >= PRAISE


def centred(scores, sources):
    """Scores from the middle of their source, so that half of its documents lean to each side, in
    standard deviations."""
    for source in np.unique(sources):
        own = sources == source
        scores[own] -= np.median(scores[own])
    return scores / scores.std()


def quantiles(scores, sources):
    bins = np.empty(len(scores), np.uint8)
    for source in np.unique(sources):
        own = np.flatnonzero(sources == source)
        ranks = np.argsort(np.argsort(scores[own]))
        bins[own] = ranks * BINS // len(own)
    return bins


def make(work):
    folder = work / "corpus"
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    documents = np.load(folder / "documents.npy")
    starts = [np.load(folder / f"sentences-{source}.npy") for source in REVIEWS]
    sentences = np.concatenate(starts)
    count = np.searchsorted(documents, sentences[-1], side="right")
    documents = documents[:count + 1]
    tokens = np.load(folder / "tokens.npy", mmap_mode="r")[:documents[-1]]
    sources = np.searchsorted([own[0] for own in starts], documents[:-1], side="right")

    ratings = np.load(folder / "ratings.npy")
    hidden = np.zeros(len(tokens), bool)
    for ahead in range(RATING_TOKENS):
        hidden[np.minimum(ratings + ahead, len(tokens) - 1)] = True
    found, width = features(tokens, hidden)

    whole = table(found, width, np.repeat(np.arange(count), np.diff(documents)), count)
    rated, praised = stated(tokens, documents, ratings, tokenizer)
    teacher = linear_model(whole[rated], praised, DOCUMENT_STRENGTH)
    scores = centred(teacher.decision_function(whole), sources)

    lengths = np.diff(np.append(sentences, len(tokens)))
    said_of = scores[np.searchsorted(documents, sentences, side="right") - 1]
    taught = (lengths >= SENTENCE_TOKENS.start) & (lengths < SENTENCE_TOKENS.stop)
    taught &= np.abs(said_of) > CLEAR
    owner = np.where(taught, np.cumsum(taught) - 1, -1)
    parts = table(found, width, np.repeat(owner, lengths), taught.sum())
    student = linear_model(parts, said_of[taught] > 0, SENTENCE_STRENGTH)
    scores = centred(student.decision_function(whole), sources)

    np.save(folder / "leanings.npy", quantiles(scores, sources))
    print(json.dumps({"documents": int(count), "rated": len(rated), "features": width,
                      "sentences": int(taught.sum())}))
