"""Draws training batches: windows of text, what is masked in them, and prompts behind them.

A batch is a function of the seed and the number of the step alone, so training that stops and goes
on sees what it would have seen, and the position in the data is the number of the step.
"""

from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer

from .corpus import CLS, MASK, PAD, SEP, SOURCES
from .words import NEGATIONS, OPINION_FORMS, OPINIONS, TOPIC_FORMS, TOPICS

IGNORED = -100


@dataclass
class Mixture:
    sources: dict = field(
        default_factory=lambda: {"imdb": 0.73, "yelp": 0.07, "wikipedia": 0.15, "news": 0.05})
    # A few long windows, so that every position that the model has is trained.
    lengths: dict = field(default_factory=lambda: {32: 0.30, 64: 0.40, 128: 0.24, 256: 0.06})
    tokens_per_step: int = 5632
    mask_ordinary: float = 0.12
    mask_cue: float = 0.50
    prompted: float = 0.50
    shortest_prompted: int = 6


@dataclass
class Batch:
    """Three int64 arrays of one shape, (B, T)."""

    ids: np.ndarray
    attention: np.ndarray
    labels: np.ndarray


class Cues:
    """The words that one kind of text is asked for, and the forms in which it is asked."""

    def __init__(self, tokenizer, words, forms, negations=()):
        size = tokenizer.get_vocab_size()
        self.is_cue = np.zeros(size, bool)
        self.is_cue[[tokenizer.token_to_id(word) for word in words]] = True
        self.negates = np.zeros(size, bool)
        self.negates[[tokenizer.token_to_id(word) for word in negations]] = True
        self.forms = [np.array(tokenizer.encode(form, add_special_tokens=False).ids)
                      for form in forms]
        self.shares = np.array(list(forms.values()))

    def askable(self, ids):
        """Positions of the cue words that no negation stands shortly before."""
        negated = np.zeros(len(ids), bool)
        negation = self.negates[ids]
        for distance in (1, 2, 3):
            negated[distance:] |= negation[:-distance]
        return np.flatnonzero(self.is_cue[ids] & ~negated)


class Windows:
    def __init__(self, work, seed, mixture=None):
        self.seed = seed
        self.mixture = mixture or Mixture()
        self.tokens = np.load(work / "corpus/tokens.npy", mmap_mode="r")
        self.documents = np.load(work / "corpus/documents.npy")
        self.starts = {source: np.load(work / f"corpus/sentences-{source}.npy")
                       for source in SOURCES}
        tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
        opinions = Cues(tokenizer, OPINIONS, OPINION_FORMS, NEGATIONS)
        topics = Cues(tokenizer, TOPICS, TOPIC_FORMS)
        self.cues = {"imdb": opinions, "yelp": opinions, "wikipedia": topics, "news": topics}
        self.sentence_end = np.zeros(tokenizer.get_vocab_size(), bool)
        self.sentence_end[[tokenizer.token_to_id(mark) for mark in ".!?"]] = True

    def batch(self, step):
        rng = np.random.default_rng([self.seed, step])
        mixture = self.mixture
        length = rng.choice(list(mixture.lengths), p=list(mixture.lengths.values()))
        rows = mixture.tokens_per_step // length
        sources = rng.choice(list(mixture.sources), rows, p=list(mixture.sources.values()))
        batch = Batch(
            ids=np.full((rows, length), PAD),
            attention=np.zeros((rows, length), np.int64),
            labels=np.full((rows, length), IGNORED),
        )
        for row, source in enumerate(sources):
            ids, labels = self.example(rng, source, length - 2)
            end = len(ids) + 1
            batch.ids[row, 0], batch.ids[row, end] = CLS, SEP
            batch.ids[row, 1:end] = ids
            batch.labels[row, 1:end] = labels
            batch.attention[row, :end + 1] = 1
        return batch

    def example(self, rng, source, room):
        """Ids with masks, and the labels of the masked ones: at most `room` of each."""
        cues = self.cues[source]
        text = self.text(rng, source, room)
        form, asked = np.array([], np.int64), None
        if rng.random() < self.mixture.prompted:
            form = cues.forms[rng.choice(len(cues.forms), p=cues.shares)]
            text = self.whole_sentences(text[:room - len(form)])
            askable = cues.askable(text)
            if len(text) >= self.mixture.shortest_prompted and len(askable):
                asked = rng.choice(askable)
            else:
                form = form[:0]

        share = np.where(cues.is_cue[text], self.mixture.mask_cue, self.mixture.mask_ordinary)
        masked = rng.random(len(text)) < share
        if asked is not None:
            masked[asked] = True
        ids = np.concatenate([np.where(masked, MASK, text), form])
        labels = np.full(len(ids), IGNORED)
        labels[:len(text)][masked] = text[masked]
        if asked is not None:
            labels[len(text):][form == MASK] = text[asked]
        return ids, labels

    def text(self, rng, source, room):
        """A window that begins at a sentence and stays inside one document."""
        starts = self.starts[source]
        start = starts[rng.integers(len(starts))]
        document = np.searchsorted(self.documents, start, side="right")
        begin, end = self.documents[document - 1], self.documents[document]
        if end - start < room // 2:
            # Little is left of the document: begin at an earlier sentence.
            start = starts[np.searchsorted(starts, max(begin, end - room))]
        return self.tokens[start:min(end, start + room)].astype(np.int64)

    def whole_sentences(self, text):
        """The text up to its last end of a sentence, if most of it is left."""
        ends = np.flatnonzero(self.sentence_end[text])
        if len(ends) and ends[-1] + 1 >= len(text) // 3:
            return text[:ends[-1] + 1]
        return text
