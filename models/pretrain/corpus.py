"""Step `data`: reads the texts, trains the tokenizer, writes token ids that training can map.

Written to the working directory:
- `tokenizer.json`
- `corpus/tokens.npy`      uint16, all documents one after another
- `corpus/documents.npy`   int64, where each document begins, and the end of the last
- `corpus/sentences-SOURCE.npy`  int64, where the sentences of one source begin
- `corpus/ratings.npy`     int64, where unlabelled reviews state a rating
"""

import csv
import json
import re
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from .words import LABEL_WORDS, OPINIONS, RATINGS, TOPICS

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL_TOKENS))
VOCABULARY_SIZE = 8192

# Sources of whole reviews; they come first.
REVIEWS = ["imdb", "imdb-unlabelled", "yelp"]
# Sentences of critics, without those that also stand in a set that is measured on: Movie Review
# and Stanford's treebank are cut from the same texts.
SNIPPETS = "snippets"
MEASURED = ["sst2/dev.csv", "sst2/test.csv", "mr/test.csv"]
# Two sentences are one if they begin or end with the same so many letters.
SAME_LETTERS = 32

# Of each source: its files below the data directory, and which of its texts, one in so many, the
# tokenizer is trained on. Labels are never read here.
SOURCES = {
    "imdb": (["imdb/train.csv"], 2),
    "imdb-unlabelled": (["text-imdb-unsup.txt"], 2),
    "yelp": (["yelp5/train.csv"], 1),
    "wikipedia": (["text-wikipedia-a.txt"], 4),
    "news": (["agnews/train.csv"], 1),
    SNIPPETS: (["sst2/train.csv", "mr/train.csv"], 1),
}


def read_texts(path):
    """The texts of a CSV file with a `text` column, or of a file with one text a line."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = (row["text"] for row in csv.DictReader(file)) if path.suffix == ".csv" else file
        for text in rows:
            text = re.sub(r"<br\s*/?>|\\|\s+", " ", text).replace("#39;", "'").strip()
            if text:
                yield text


def source_texts(data, source):
    texts = (text for name in SOURCES[source][0] for text in read_texts(data / name))
    if source != SNIPPETS:
        return texts
    measured = (text for name in MEASURED for text in read_texts(data / name))
    return without(texts, {end for text in measured for end in ends(text)})


def ends(text):
    """How a text begins and how it ends, in letters alone: the sets differ in their marks."""
    letters = re.sub("[^a-z]", "", text.lower())
    return letters[:SAME_LETTERS], letters[-SAME_LETTERS:]


def without(texts, known):
    """The texts that share no end with a known one or an earlier one."""
    for text in texts:
        found = ends(text)
        if known.isdisjoint(found):
            known.update(found)
            yield text


def train_tokenizer(data):
    """A lower-case WordPiece in which every word of our lists is one token."""
    texts = (
        text
        for source, (_, stride) in SOURCES.items()
        for number, text in enumerate(source_texts(data, source))
        if number % stride == 0
    )
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=SPECIAL_TOKENS,
        limit_alphabet=120,
        min_frequency=5,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)

    vocabulary = with_words(tokenizer.get_vocab(), [*LABEL_WORDS, *OPINIONS, *TOPICS])
    tokenizer.model = models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def with_words(vocabulary, words):
    """The vocabulary with `words` in place of its rarest entries, where it lacks them."""
    by_id = sorted(vocabulary, key=vocabulary.get)
    kept = set(words)
    missing = [word for word in dict.fromkeys(words) if word not in vocabulary]
    # Trainers append pieces in the order in which they merged them: the last are the rarest, and
    # nothing was built from them.
    for index in range(len(by_id) - 1, 0, -1):
        if not missing:
            break
        if by_id[index] not in kept:
            by_id[index] = missing.pop()
    return {piece: index for index, piece in enumerate(by_id)}


def sentence_starts(tokens, documents, vocabulary):
    """Positions at which a document begins, or that follow the end of a sentence."""
    ends = np.isin(tokens, [vocabulary[mark] for mark in ".!?"])
    tail = ends | np.isin(tokens, [vocabulary[mark] for mark in "\"')"])
    starts = np.zeros(len(tokens), bool)
    starts[1:] = ends[:-1] & ~tail[1:]
    starts[documents[:-1]] = True
    return np.flatnonzero(starts)


def stated_ratings(tokens, vocabulary):
    """Positions of n in "n / 10" and "n out of 10"; not of decimals, dates and fractions."""
    slash, out, of, ten, point = (vocabulary[word] for word in ["/", "out", "of", "10", "."])
    padded = np.append(tokens, np.zeros(4, tokens.dtype))
    one, two, three = (padded[ahead:ahead + len(tokens)] for ahead in (1, 2, 3))
    stated = (one == slash) & (two == ten) & (three != slash)
    stated |= (one == out) & (two == of) & (three == ten)
    stated &= np.isin(tokens, [vocabulary[number] for number in RATINGS])
    before = np.append([0], tokens[:-1])
    return np.flatnonzero(stated & (before != point) & (before != slash))


def write_corpus(data, work, tokenizer):
    vocabulary = tokenizer.get_vocab()
    folder = work / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    pieces, lengths, source_ends = [], [], {}
    for source in SOURCES:
        batch = []
        for text in source_texts(data, source):
            batch.append(text)
            if len(batch) == 2000:
                append_ids(tokenizer, batch, pieces, lengths)
                batch = []
        append_ids(tokenizer, batch, pieces, lengths)
        source_ends[source] = sum(len(piece) for piece in pieces)

    tokens = np.concatenate(pieces)
    documents = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    starts = sentence_starts(tokens, documents, vocabulary)
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "documents.npy", documents)
    ratings = stated_ratings(tokens, vocabulary)
    begin, report = 0, {}
    for source, end in source_ends.items():
        if source == "imdb-unlabelled":
            # Elsewhere a rating may be what a data set's label was made from.
            np.save(folder / "ratings.npy", ratings[(ratings >= begin) & (ratings < end)])
        own = starts[(starts >= begin) & (starts < end)]
        np.save(folder / f"sentences-{source}.npy", own)
        report[source] = {"tokens": int(end - begin), "sentences": len(own)}
        begin = end
    report["unknown"] = round(float((tokens == UNK).mean()), 5)
    print(json.dumps(report))


def append_ids(tokenizer, texts, pieces, lengths):
    for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
        ids = np.array(encoding.ids, np.uint16)
        pieces.append(ids)
        lengths.append(len(ids))


def prepare(data: Path, work: Path):
    file = work / "tokenizer.json"
    if file.exists():
        # A model that is to be trained further keeps the tokens that it knows.
        tokenizer = Tokenizer.from_file(str(file))
    else:
        tokenizer = train_tokenizer(data)
        tokenizer.save(str(file))
    words = [*LABEL_WORDS, *OPINIONS, *TOPICS]
    split = [word for word in words if len(tokenizer.encode(word).ids) != 3]
    assert not split, f"more than one token: {split}"
    write_corpus(data, work, tokenizer)
