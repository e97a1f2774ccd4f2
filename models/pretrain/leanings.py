"""Step `leanings`: whether each review leans to praise or to blame, learned from what authors say.

Some authors of unlabelled reviews write "8/10" into their text. That is a judgement of the whole
text, given by the text itself; no label of a data set is read. From these few thousand reviews a
linear model over words and pairs of words learns to judge the others. What it says of a document is
then said of each of its sentences; a second linear model learns from half a million of those, and
judges whole documents better than its teacher did, since it saw so much more text.

The second model judges single sentences too, those of the reviews and the snippets. Of the latter,
which have no document behind them, an exported model of an earlier stage may be asked as well
(`--model`): the two see different things, and together they are right more often than each.

Written to the working directory:
- `corpus/leanings.npy`  uint8, one a document of the reviews, which are the first documents: 0 is
  sharpest blame, BINS - 1 highest praise. A bin is a quantile among the documents of one source.
- `corpus/said.npy`  float32, one a sentence of the reviews and then of the snippets: above 0 is
  praise, in standard deviations of the source.
"""

import json

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from .corpus import REVIEWS, SNIPPETS
from .evaluation import SENTIMENT, Scorer, label_scores
from .words import OPINION_FORMS

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


def standardised(scores, sources):
    """Scores from the middle of their source, each source in its own standard deviations."""
    scores = scores.copy()
    for source in np.unique(sources):
        own = sources == source
        scores[own] = (scores[own] - np.median(scores[own])) / scores[own].std()
    return scores


def quantiles(scores, sources):
    bins = np.empty(len(scores), np.uint8)
    for source in np.unique(sources):
        own = np.flatnonzero(sources == source)
        ranks = np.argsort(np.argsort(scores[own]))
        bins[own] = ranks * BINS // len(own)
    return bins


def asked(model, rows):
    """What an exported model says of token rows: the mean logit of words of praise less that of
    words of blame, behind the most common form of prompt."""
    scorer, form = Scorer(model, max_tokens=128), next(iter(OPINION_FORMS))
    words = [word for group in SENTIMENT.values() for word in group]
    scores = scorer.scores_of([scorer.framed(row, form) for row in rows], words)
    return np.subtract(*label_scores(scores, list(SENTIMENT.values())).T[::-1])


def make(work, model=None):
    folder = work / "corpus"
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    documents = np.load(folder / "documents.npy")
    starts = [np.load(folder / f"sentences-{source}.npy") for source in REVIEWS]
    snippets = np.load(folder / f"sentences-{SNIPPETS}.npy")
    sentences = np.concatenate(starts)
    count = np.searchsorted(documents, sentences[-1], side="right")
    documents = documents[:count + 1]
    every = np.load(folder / "tokens.npy", mmap_mode="r")
    size = documents[-1]
    tokens = np.concatenate([every[:size], every[snippets[0]:]])
    # The sentences of both, and whose they are.
    sentences = np.append(sentences, snippets - snippets[0] + size)
    lengths = np.diff(np.append(sentences, len(tokens)))
    reviewed = sentences < size
    owners = np.searchsorted(documents, sentences[reviewed], side="right") - 1
    sources = np.searchsorted([own[0] for own in starts], documents[:-1], side="right")

    ratings = np.load(folder / "ratings.npy")
    hidden = np.zeros(len(tokens), bool)
    for ahead in range(RATING_TOKENS):
        hidden[np.minimum(ratings + ahead, size - 1)] = True
    found, width = features(tokens, hidden)

    belongs = np.append(np.repeat(np.arange(count), np.diff(documents)),
                        np.full(len(tokens) - size, -1))
    whole = table(found, width, belongs, count)
    parts = table(found, width, np.repeat(np.arange(len(sentences)), lengths), len(sentences))
    rated, praised = stated(tokens[:size], documents, ratings, tokenizer)
    teacher = linear_model(whole[rated], praised, DOCUMENT_STRENGTH)
    scores = centred(teacher.decision_function(whole), sources)

    taught = (lengths >= SENTENCE_TOKENS.start) & (lengths < SENTENCE_TOKENS.stop) & reviewed
    said_of = np.append(scores[owners], np.zeros(len(snippets)))
    taught &= np.abs(said_of) > CLEAR
    student = linear_model(parts[taught], said_of[taught] > 0, SENTENCE_STRENGTH)
    scores = centred(student.decision_function(whole), sources)

    told = np.append(sources[owners], np.full(len(snippets), len(REVIEWS) + 1))
    said = standardised(student.decision_function(parts), told)
    if model:
        rows = np.split(tokens[size:].astype(np.int64), sentences[~reviewed][1:] - size)
        opinion = standardised(asked(model, rows), told[~reviewed])
        said[~reviewed] = standardised(said[~reviewed] + opinion, told[~reviewed])

    np.save(folder / "leanings.npy", quantiles(scores, sources))
    np.save(folder / "said.npy", said.astype(np.float32))
    print(json.dumps({"documents": int(count), "rated": len(rated), "features": width,
                      "sentences": int(taught.sum())}))
