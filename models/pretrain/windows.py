"""Draws training batches: windows of text, what is masked in them, and prompts behind them.

A batch is a function of the seed and the number of the step alone, so training that stops and goes
on sees what it would have seen, and the position in the data is the number of the step.
"""

from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer

from .corpus import CLS, MASK, PAD, SEP, SOURCES
from .words import NEGATIONS, OPINION_FORMS, OPINIONS, RATING_FORMS, TOPIC_FORMS, TOPICS


@dataclass
class Mixture:
    sources: dict = field(
        default_factory=lambda: {"imdb": 0.19, "imdb-unlabelled": 0.31, "rated": 0.05,
                                 "negated": 0.10, "yelp": 0.12, "wikipedia": 0.13,
                                 "news": 0.10})
    # A few long windows, so that every position that the model has is trained.
    lengths: dict = field(default_factory=lambda: {24: 0.15, 32: 0.25, 64: 0.32, 128: 0.20, 256: 0.08})
    tokens_per_step: int = 5632
    mask_ordinary: float = 0.12
    mask_cue: float = 0.50
    prompted: float = 0.60
    shortest_prompted: int = 6
    # Share of a prompt's answer that comes from the rest of the document, outside the window.
    elsewhere: float = 0.5
    # Weight of one prompt's loss against one masked token's.
    prompt_weight: float = 2.0


@dataclass
class Batch:
    """`ids` and `attention` are int64 (B, T). An answer is one word that belongs at one place:
    `places` are positions in the flattened ids, `words` token ids, `weights` what each counts;
    the three have one entry an answer, and a prompt's mask has several."""

    ids: np.ndarray
    attention: np.ndarray
    places: np.ndarray
    words: np.ndarray
    weights: np.ndarray


class Forms:
    """Ways to ask, each with its share."""

    def __init__(self, tokenizer, forms):
        self.ids = [np.array(tokenizer.encode(form, add_special_tokens=False).ids)
                    for form in forms]
        self.shares = np.array(list(forms.values()))

    def draw(self, rng):
        return self.ids[rng.choice(len(self.ids), p=self.shares)]


class Cues:
    """The words that one kind of text is asked for, and the forms in which it is asked."""

    def __init__(self, tokenizer, words, forms, negations=()):
        size = tokenizer.get_vocab_size()
        self.is_cue = np.zeros(size, bool)
        self.is_cue[[tokenizer.token_to_id(word) for word in words]] = True
        self.negates = np.zeros(size, bool)
        self.negates[[tokenizer.token_to_id(word) for word in negations]] = True
        self.forms = Forms(tokenizer, forms)

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
        self.cues = {"imdb": opinions, "imdb-unlabelled": opinions, "yelp": opinions,
                     "wikipedia": topics, "news": topics}
        self.ratings = np.load(work / "corpus/ratings.npy")
        self.starts["rated"] = self.starts_of_rated()
        self.rating_forms = Forms(tokenizer, RATING_FORMS)
        self.review_starts = np.concatenate(
            [self.starts[source] for source in ("imdb", "imdb-unlabelled", "yelp")])
        self.negated = self.negated_cues(opinions)
        self.sentence_end = np.zeros(tokenizer.get_vocab_size(), bool)
        self.sentence_end[[tokenizer.token_to_id(mark) for mark in ".!?"]] = True

    def batch(self, step):
        rng = np.random.default_rng([self.seed, step])
        mixture = self.mixture
        length = rng.choice(list(mixture.lengths), p=list(mixture.lengths.values()))
        rows = mixture.tokens_per_step // length
        sources = rng.choice(list(mixture.sources), rows, p=list(mixture.sources.values()))
        ids = np.full((rows, length), PAD)
        attention = np.zeros((rows, length), np.int64)
        answers = []
        for row, source in enumerate(sources):
            found, places, words, weights = self.row(rng, source, length - 2)
            end = len(found) + 1
            ids[row, 0], ids[row, end] = CLS, SEP
            ids[row, 1:end] = found
            attention[row, :end + 1] = 1
            answers.append((places + row * length + 1, words, weights))
        return Batch(ids, attention, *map(np.concatenate, zip(*answers)))

    def row(self, rng, source, room):
        if source == "rated":
            return self.rated_example(rng, room)
        if source == "negated":
            return self.negated_example(rng, room)
        return self.example(rng, source, room)

    def example(self, rng, source, room):
        """Ids with masks, at most `room`; places in them, the words there, and their weights."""
        span = self.span(rng, source, room)
        prompted = rng.random() < self.mixture.prompted
        return self.masked(rng, span, room, self.cues[source], prompted)

    def negated_example(self, rng, room):
        """As `example`, about a sentence such as "not a good film": what is negated stays in
        sight, and the rest of the document says what it meant."""
        at = self.negated[rng.integers(len(self.negated))]
        start = self.review_starts[np.searchsorted(self.review_starts, at, side="right") - 1]
        document = np.searchsorted(self.documents, start, side="right")
        begin, end = self.documents[document - 1], self.documents[document]
        span = begin, start, min(end, start + room), end
        return self.masked(rng, span, room, self.cues["imdb"], True)

    def masked(self, rng, span, room, cues, prompted):
        """A window with masks and, if it is to be prompted and has something to ask, a prompt."""
        text, elsewhere = self.window(span), self.rest(span)
        form, askable = np.array([], np.int64), cues.askable(text)
        if prompted:
            form = cues.forms.draw(rng)
            text = self.whole_sentences(text[:room - len(form)])
            askable, elsewhere = cues.askable(text), elsewhere[cues.askable(elsewhere)]
            if len(text) < self.mixture.shortest_prompted or not len(askable) + len(elsewhere):
                form = form[:0]

        ask = len(form) > 0
        share = np.where(cues.is_cue[text], self.mixture.mask_cue, self.mixture.mask_ordinary)
        if ask:
            share[cues.is_cue[text] & ~np.isin(np.arange(len(text)), askable)] = 0
        masked = rng.random(len(text)) < share
        if ask and len(askable) and not len(elsewhere):
            masked[rng.choice(askable)] = True
        within = text[askable[masked[askable]]]
        ids = np.concatenate([np.where(masked, MASK, text), form])
        places = np.flatnonzero(masked)
        words, weights = text[places], np.ones(len(places))
        if ask:
            asked, shares = self.answer(within, elsewhere)
            at = len(text) + np.flatnonzero(form == MASK)[0]
            places = np.append(places, np.full(len(asked), at))
            words = np.append(words, asked)
            weights = np.append(weights, shares * self.mixture.prompt_weight)
        return ids, places, words, weights

    def answer(self, within, elsewhere):
        """What a prompt asks for: the masked cue words of the window, and those that the rest of
        the document says; their shares sum to 1."""
        share = self.mixture.elsewhere if len(elsewhere) else 0.0
        share = share if len(within) else 1.0
        words = np.append(within, elsewhere)
        shares = np.append(np.full(len(within), (1 - share) / max(1, len(within))),
                           np.full(len(elsewhere), share / max(1, len(elsewhere))))
        return words, shares

    def rated_example(self, rng, room):
        """As `example`, asking for the rating that the author wrote somewhere in the document.
        Where the window has it, it is masked and not asked for a second time."""
        form = self.rating_forms.draw(rng)
        span = self.span(rng, "rated", room - len(form))
        text = self.window(span)
        begin, start, stop, end = span
        first, last = np.searchsorted(self.ratings, [begin, end])
        stated = self.ratings[first:last]
        within = stated[(stated >= start) & (stated < stop)] - start
        masked = rng.random(len(text)) < self.mixture.mask_ordinary
        masked[within] = True
        ids = np.concatenate([np.where(masked, MASK, text), form])
        learned = masked.copy()
        learned[within] = False
        places = np.flatnonzero(learned)
        asked = len(text) + np.flatnonzero(form == MASK)
        words = np.append(text[places], self.tokens[stated[:1]].astype(np.int64))
        weights = np.append(np.ones(len(places)), self.mixture.prompt_weight)
        return ids, np.append(places, asked), words, weights

    def span(self, rng, source, room):
        """Where a document begins, where a window of it begins and ends, where the document ends.
        A window begins at a sentence."""
        starts = self.starts[source]
        start = starts[rng.integers(len(starts))]
        document = np.searchsorted(self.documents, start, side="right")
        begin, end = self.documents[document - 1], self.documents[document]
        if end - start < room // 2:
            # Little is left of the document: begin at an earlier sentence.
            earlier = starts[np.searchsorted(starts, max(begin, end - room))]
            start = min(start, earlier)
        return begin, start, min(end, start + room), end

    def window(self, span):
        _, start, stop, _ = span
        return self.tokens[start:stop].astype(np.int64)

    def rest(self, span):
        """The document without the window."""
        begin, start, stop, end = span
        return np.append(self.tokens[begin:start], self.tokens[stop:end]).astype(np.int64)

    def negated_cues(self, opinions):
        """Positions of the opinion words of reviews that a negation stands shortly before."""
        reviews = self.tokens[:self.starts["wikipedia"][0]]
        cue = opinions.is_cue[reviews]
        cue[opinions.askable(reviews)] = False
        return np.flatnonzero(cue)

    def starts_of_rated(self):
        """Sentence starts of the unlabelled reviews that state a rating."""
        starts = self.starts["imdb-unlabelled"]
        rated = np.unique(np.searchsorted(self.documents, self.ratings, side="right"))
        return starts[np.isin(np.searchsorted(self.documents, starts, side="right"), rated)]

    def whole_sentences(self, text):
        """The text up to its last end of a sentence, if most of it is left."""
        ends = np.flatnonzero(self.sentence_end[text])
        if len(ends) and ends[-1] + 1 >= len(text) // 3:
            return text[:ends[-1] + 1]
        return text
