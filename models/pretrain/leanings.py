"""Step `leanings`: whether each review leans to praise or to blame, learned from what authors say.

Some authors of unlabelled reviews write "8/10" into their text. That is a judgement of the whole
text, given by the text itself; no label of a data set is read. From these few thousand reviews a
linear model over words and pairs of words learns to judge the others. What it says of a document is
then said of each of its sentences; a second linear model learns from half a million of those, and
judges whole documents better than its teacher did, since it saw so much more text.

The second model judges single sentences too, those of the reviews and the snippets. An exported
model of an earlier stage may be asked as well (`--model`). Of the snippets, which have no document
behind them, the two see different things, and together they are right more often than each. Of
Yelp's reviews it is believed alone: the linear models learned from films, and what they say of
restaurants and shops makes it worse.

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
# Of reviews of other things than films: its number in `Texts.sources`.
SOURCE_ELSEWHERE = 1 + REVIEWS.index("yelp")


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


def places_of_each(sources):
    return (np.flatnonzero(sources == source) for source in np.unique(sources))


def centred(scores, sources):
    """Scores from the middle of their source, so that half of its documents lean to each side, in
    standard deviations."""
    for own in places_of_each(sources):
        scores[own] -= np.median(scores[own])
    return scores / scores.std()


def standardised(scores, sources):
    """Scores from the middle of their source, each source in its own standard deviations."""
    for own in places_of_each(sources):
        scores[own] = (scores[own] - np.median(scores[own])) / scores[own].std()
    return scores


def quantiles(scores, sources):
    bins = np.empty(len(scores), np.uint8)
    for own in places_of_each(sources):
        ranks = np.argsort(np.argsort(scores[own]))
        bins[own] = ranks * BINS // len(own)
    return bins


def asked(model, rows):
    """What an exported model says of token rows: the mean logit of words of praise less that of
    words of blame, behind the most common form of prompt."""
    scorer, form = Scorer(model, max_tokens=128), next(iter(OPINION_FORMS))
    words = [word for group in SENTIMENT.values() for word in group]
    scores = scorer.scores_of([scorer.framed(row, form) for row in rows], words)
    blame, praise = label_scores(scores, list(SENTIMENT.values())).T
    return praise - blame


class Texts:
    """The reviews and, behind them, the snippets: their tokens, documents and sentences."""

    def __init__(self, folder, tokenizer):
        starts = [np.load(folder / f"sentences-{source}.npy") for source in REVIEWS]
        snippets = np.load(folder / f"sentences-{SNIPPETS}.npy")
        documents = np.load(folder / "documents.npy")
        # Of the reviews alone, with the end of the last.
        count = np.searchsorted(documents, starts[-1][-1], side="right")
        self.documents = documents[:count + 1]
        self.sources = np.searchsorted([own[0] for own in starts], self.documents[:-1],
                                       side="right")
        size = self.documents[-1]
        tokens = np.load(folder / "tokens.npy", mmap_mode="r")
        self.tokens = np.concatenate([tokens[:size], tokens[snippets[0]:]])

        self.sentences = np.concatenate([*starts, snippets - snippets[0] + size])
        self.lengths = np.diff(np.append(self.sentences, len(self.tokens)))
        self.reviewed = self.sentences < size
        # Of a review's sentence, its document.
        self.owners = np.searchsorted(self.documents, self.sentences[self.reviewed],
                                      side="right") - 1
        # Of each sentence, its source, counted from 1; snippets are the last one.
        self.told = np.append(self.sources[self.owners],
                              np.full(len(snippets), len(REVIEWS) + 1))

        ratings = np.load(folder / "ratings.npy")
        self.rated, self.praised = stated(self.tokens[:size], self.documents, ratings, tokenizer)
        hidden = np.zeros(len(self.tokens), bool)
        for ahead in range(RATING_TOKENS):
            hidden[np.minimum(ratings + ahead, size - 1)] = True
        found, self.width = features(self.tokens, hidden)
        owned = np.full(len(self.tokens), -1)
        owned[:size] = np.repeat(np.arange(count), np.diff(self.documents))
        self.whole = table(found, self.width, owned, count)
        said = np.repeat(np.arange(len(self.sentences)), self.lengths)
        self.parts = table(found, self.width, said, len(self.sentences))

    def rows(self, starts, chosen):
        """The token ids of each chosen text: a sentence, or a document, as `starts` say."""
        ends = np.append(starts[1:], len(self.tokens))
        return [self.tokens[starts[one]:ends[one]].astype(np.int64)
                for one in np.flatnonzero(chosen)]


def make(work, model=None):
    folder = work / "corpus"
    texts = Texts(folder, Tokenizer.from_file(str(work / "tokenizer.json")))
    teacher = linear_model(texts.whole[texts.rated], texts.praised, DOCUMENT_STRENGTH)
    scores = centred(teacher.decision_function(texts.whole), texts.sources)

    said_of = np.zeros(len(texts.sentences))
    said_of[texts.reviewed] = scores[texts.owners]
    taught = (texts.lengths >= SENTENCE_TOKENS.start) & (texts.lengths < SENTENCE_TOKENS.stop)
    taught &= np.abs(said_of) > CLEAR
    student = linear_model(texts.parts[taught], said_of[taught] > 0, SENTENCE_STRENGTH)
    scores = centred(student.decision_function(texts.whole), texts.sources)

    said = standardised(student.decision_function(texts.parts), texts.told)
    if model:
        elsewhere = texts.sources == SOURCE_ELSEWHERE
        scores[elsewhere] = asked(model, texts.rows(texts.documents, elsewhere))
        elsewhere, snippets = texts.told == SOURCE_ELSEWHERE, ~texts.reviewed
        chosen = elsewhere | snippets
        said[elsewhere] = 0.0
        said[chosen] += standardised(asked(model, texts.rows(texts.sentences, chosen)),
                                     texts.told[chosen])
        said[chosen] = standardised(said[chosen], texts.told[chosen])

    np.save(folder / "leanings.npy", quantiles(scores, texts.sources))
    np.save(folder / "said.npy", said.astype(np.float32))
    print(json.dumps({"documents": len(texts.sources), "rated": len(texts.rated),
                      "features": texts.width, "sentences": int(taught.sum())}))
