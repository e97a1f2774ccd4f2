"""Draws training batches: windows of text, what is masked in them, and prompts behind them.

A batch is a function of the seed and the number of the step alone, so training that stops and goes
on sees what it would have seen, and the position in the data is the number of the step.
"""

from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer

from .corpus import CLS, MASK, PAD, REVIEWS, SEP, SNIPPETS, SOURCES
from .judgements import JUDGED, SAMPLE, Judgements
from .leanings import BINS
from .words import NEGATIONS, OPINION_FORMS, OPINIONS, RATING_FORMS, TOPIC_FORMS, TOPICS


@dataclass
class Mixture:
    sources: dict = field(
        default_factory=lambda: {"imdb": 0.12, "imdb-unlabelled": 0.20, "negated": 0.06,
                                 "yelp": 0.27, SNIPPETS: 0.12, "wikipedia": 0.10,
                                 "news": 0.13})
    # A few long windows, so that every position that the model has is trained.
    lengths: dict = field(default_factory=lambda: {24: 0.20, 32: 0.28, 64: 0.28, 128: 0.16, 256: 0.08})
    tokens_per_step: int = 5632
    mask_ordinary: float = 0.12
    mask_cue: float = 0.50
    prompted: float = 0.70
    shortest_prompted: int = 6
    # Share of the prompts behind reviews that ask for a rating.
    rating: float = 0.25
    # Share of the prompts that leave the window's cue words in sight, as those of users do.
    in_sight: float = 0.60
    # Share of a prompt's answer that comes from outside the window.
    elsewhere: float = 0.60
    # Weight of one prompt's loss against one masked token's.
    prompt_weight: float = 3.0


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


@dataclass
class Prompt:
    """A form, and what belongs at its mask as far as it comes from outside the window: words, and
    their shares, which sum to 1; or none."""

    form: np.ndarray
    words: np.ndarray
    shares: np.ndarray
    # Whether it asks for the window's cue words too, or else for a rating.
    asks_cues: bool = True


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
        self.cues = {source: opinions for source in [*REVIEWS, "negated", SNIPPETS]}
        self.cues |= {"wikipedia": topics, "news": topics}
        self.rating_forms = Forms(tokenizer, RATING_FORMS)
        self.review_starts = np.concatenate([self.starts[source] for source in REVIEWS])
        reviews = self.tokens[:self.starts["wikipedia"][0]]
        askable = opinions.askable(reviews)
        self.negated = np.setdiff1d(np.flatnonzero(opinions.is_cue[reviews]), askable)
        self.ratings = np.load(work / "corpus/ratings.npy")
        self.leanings = np.load(work / "corpus/leanings.npy")
        self.typical_opinions = self.typical(askable)
        self.typical_ratings = self.typical(self.ratings)
        self.sentence_end = np.zeros(tokenizer.get_vocab_size(), bool)
        self.sentence_end[[tokenizer.token_to_id(mark) for mark in ".!?"]] = True
        self.judgements = Judgements(self.starts, np.load(work / "corpus/said.npy"), self.leanings)
        for source in JUDGED:
            for length in self.mixture.lengths:
                self.calibrate(source, length - 2)

    def calibrate(self, source, room):
        rng = np.random.default_rng(self.seed)
        drawn = [self.window(self.start(rng, source, room), room) for _ in range(SAMPLE)]
        self.judgements.calibrate((source, room), *zip(*drawn))

    def window(self, start, room):
        """The document at `start`, and the at most `room` tokens that it has from there on."""
        document = np.searchsorted(self.documents, start, side="right") - 1
        return document, slice(start, min(start + room, self.documents[document + 1]))

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
        """Ids with masks, at most `room`; places in them, the words there, and their weights."""
        start = self.negated_start(rng) if source == "negated" else self.start(rng, source, room)
        document, window = self.window(start, room)
        text = self.tokens[window].astype(np.int64)
        cues, prompt = self.cues[source], None
        if rng.random() < self.mixture.prompted:
            leaning = self.leaning(source, room, document, window)
            prompt = self.prompt(rng, cues, document, window, leaning)
            text = self.whole_sentences(text[:room - len(prompt.form)])
            few = len(text) < self.mixture.shortest_prompted
            if few or not len(prompt.words) and not len(cues.askable(text)):
                prompt = None
        ratings = self.ratings - start
        ratings = ratings[(ratings >= 0) & (ratings < len(text))]
        return self.masked(rng, text, ratings, cues, prompt)

    def leaning(self, source, room, document, window):
        """The bin of an opinion, None of other texts. Where a negation was looked for, the words
        mean what they do not say, so the document alone is believed."""
        if source == "negated":
            return self.leanings[document]
        if source in JUDGED:
            return self.judgements.leaning((source, room), document, window)
        return None

    def prompt(self, rng, cues, document, window, leaning):
        """What to ask behind a window of a document, and what is known of the answer from outside
        the window: of an opinion, what reviews of its leaning say; of other texts, what the rest
        of the document says."""
        if leaning is not None:
            if rng.random() < self.mixture.rating:
                return Prompt(self.rating_forms.draw(rng), *self.typical_ratings[leaning], False)
            return Prompt(cues.forms.draw(rng), *self.typical_opinions[leaning])
        begin, end = self.documents[document:document + 2]
        rest = np.append(self.tokens[begin:window.start], self.tokens[window.stop:end])
        words = rest[cues.askable(rest)].astype(np.int64)
        return Prompt(cues.forms.draw(rng), words, np.full(len(words), 1 / max(1, len(words))))

    def masked(self, rng, text, ratings, cues, prompt):
        """A window with masks and, if there is one, the prompt behind it. `ratings` are positions
        at which the window states one."""
        share = np.where(cues.is_cue[text], self.mixture.mask_cue, self.mixture.mask_ordinary)
        askable = cues.askable(text)
        if prompt:
            in_sight = len(prompt.words) and rng.random() < self.mixture.in_sight
            left = askable[:0] if in_sight or not prompt.asks_cues else askable
            share[cues.is_cue[text] & ~np.isin(np.arange(len(text)), left)] = 0
        masked = rng.random(len(text)) < share
        if prompt and not len(prompt.words):
            masked[rng.choice(askable)] = True
        places = np.flatnonzero(masked)
        words, weights = text[places], np.ones(len(places))
        if not prompt:
            return np.where(masked, MASK, text), places, words, weights

        within = text[askable[masked[askable]]] if prompt.asks_cues else text[:0]
        if not prompt.asks_cues:
            # What is asked for must not be read, nor be asked for twice.
            masked[ratings] = True
            kept = ~np.isin(places, ratings)
            places, words, weights = places[kept], words[kept], weights[kept]
        asked, shares = self.answer(within, prompt)
        at = len(text) + np.flatnonzero(prompt.form == MASK)[0]
        places = np.append(places, np.full(len(asked), at))
        words = np.append(words, asked)
        weights = np.append(weights, shares * self.mixture.prompt_weight)
        return np.concatenate([np.where(masked, MASK, text), prompt.form]), places, words, weights

    def answer(self, within, prompt):
        """What a prompt asks for: the masked cue words of the window, and what is known from
        outside; their shares sum to 1."""
        share = self.mixture.elsewhere if len(prompt.words) else 0.0
        share = share if len(within) else 1.0
        words = np.append(within, prompt.words)
        own = np.full(len(within), (1 - share) / max(1, len(within)))
        return words, np.append(own, share * prompt.shares)

    def typical(self, places):
        """For each leaning, the words at these places of its reviews, and their shares: how often
        they stand there, times how much oftener than in all reviews."""
        owners = np.searchsorted(self.documents, places, side="right") - 1
        words, which = np.unique(self.tokens[places], return_inverse=True)
        counts = np.zeros((BINS, len(words)))
        np.add.at(counts, (self.leanings[owners], which), 1)
        shares = counts / counts.sum(1, keepdims=True)
        shares *= shares / shares.mean(0)
        shares /= shares.sum(1, keepdims=True)
        return [(words.astype(np.int64), row) for row in shares]

    def start(self, rng, source, room):
        """Where a window begins: at a sentence."""
        starts = self.starts[source]
        start = starts[rng.integers(len(starts))]
        document = np.searchsorted(self.documents, start, side="right") - 1
        begin, end = self.documents[document:document + 2]
        if end - start < room // 2:
            # Little is left of the document: begin at an earlier sentence.
            start = min(start, starts[np.searchsorted(starts, max(begin, end - room))])
        return start

    def negated_start(self, rng):
        """The beginning of a sentence such as "not a good film": what is negated stays in sight,
        and the leaning of the review tells what it meant."""
        at = self.negated[rng.integers(len(self.negated))]
        return self.review_starts[np.searchsorted(self.review_starts, at, side="right") - 1]

    def whole_sentences(self, text):
        """The text up to its last end of a sentence, if most of it is left."""
        ends = np.flatnonzero(self.sentence_end[text])
        if len(ends) and ends[-1] + 1 >= len(text) // 3:
            return text[:ends[-1] + 1]
        return text
