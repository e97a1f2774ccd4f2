"""Trains the tiny tokenizers, each of the kind that its architecture is published with."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

from .sentences import SENTENCES

BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ALBERT_SPECIAL = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]


def word_piece(size, lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=BERT_SPECIAL,
                                        show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.decoder = decoders.WordPiece()
    surround(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def byte_level(size, special, mask, normalizer=None):
    """Byte-level BPE; the mask token swallows the space on its left, as RoBERTa's does."""
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    marks = [AddedToken(token, lstrip=token == mask, normalized=False, special=True)
             for token in special]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=marks, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def roberta():
    tokenizer = byte_level(460, ROBERTA_SPECIAL, "<mask>")
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=("</s>", tokenizer.token_to_id("</s>")), cls_token=("<s>", tokenizer.token_to_id("<s>")),
        add_prefix_space=False)
    return tokenizer


def modernbert():
    """With the runs of spaces that ModernBERT adds as ordinary tokens."""
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    tokenizer = byte_level(460, special, "[MASK]", normalizers.NFC())
    runs = [AddedToken(" " * count, normalized=True, special=False) for count in range(6, 1, -1)]
    tokenizer.add_tokens(runs + [AddedToken("|||MAIL|||", normalized=True, special=False)])
    surround(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def unigram(size):
    """A Unigram model as SentencePiece's, with ALBERT's normalisation."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Replace("``", '"'), normalizers.Replace("''", '"'), normalizers.NFKD(),
        normalizers.StripAccents(), normalizers.Lowercase(),
        normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    marks = [AddedToken(token, lstrip=token == "[MASK]", normalized=False, special=True)
             for token in ALBERT_SPECIAL]
    trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=marks, unk_token="<unk>",
                                      show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.model = with_words(tokenizer)
    tokenizer.decoder = decoders.Metaspace()
    surround(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def with_words(tokenizer):
    """The trained model and whole words, which the trainer leaves out of so small a vocabulary."""
    model = json.loads(tokenizer.to_str())["model"]
    pieces = [tuple(piece) for piece in model["vocab"]]
    words = ["great", "terrible", "film", "place", "evening", "nothing", "garden", "money"]
    return models.Unigram(pieces + [(f"\u2581{word}", -5.5) for word in words], model["unk_id"],
                          byte_fallback=False)


def surround(tokenizer, start, end):
    pair = f"{start} $A {end} $B:1 {end}:1"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", pair=pair,
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (start, end)])


TOKENIZERS = {
    "bert": lambda: word_piece(420, lowercase=True),
    "distilbert": lambda: word_piece(420, lowercase=False),
    "electra": lambda: word_piece(360, lowercase=True),
    "roberta": roberta,
    "modernbert": modernbert,
    "albert": lambda: unigram(440),
}

MASKS = {"roberta": "<mask>"}


def mask_token(name):
    return MASKS.get(name, "[MASK]")
