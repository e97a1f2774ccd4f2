"""Two thousand odd strings, and what `tokenizers` makes of them.

A string is stored as a list of pieces, `[text, count]` where one is repeated. Of its ids the number
and a hash are stored, and of the first hundred strings the ids themselves.
"""

import json
import random
import unicodedata

from tokenizers import Tokenizer

from .sentences import ELSEWHERE, REVIEWS

COUNT = 2000
SHOWN = 100

COMBINING = "\u0300\u0301\u0308\u0327\u0323\u0338\u20dd\u0489"
ACCENTS = "éàçñößåøŁžŐĞİıſﬁﬀĳŉẞΐΰάЙЁїậǘ"
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "❤️", "❤", "🇩🇪", "🇫", "1️⃣", "👨🏿‍🚀", "🫠", "☺︎", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"]
CJK = "这电影很好看映画良かっカタｶﾅ㍿㈱豈龜𠀀𪚥〇々ー"
HANGUL = ["영화", "가각힣", "\u1100\u1161\u11a8", "ㄱㄴ", "좋아요"]
RIGHT_TO_LEFT = ["الفيلم", "كَتَبَ", "ﷺ", "لا", "שלום", "שָׁלוֹם", "٣٤٥"]
INDIC = ["हिन्दी", "क्षि", "ภาพยนตร์", "เก่า", "தமிழ்", "မြန်မာ", "ខ្មែរ", "བོད"]
CONTROL = [chr(code) for code in range(32)] + [chr(code) for code in range(0x7F, 0xA0)]
INVISIBLE = ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u061c", "\u180e",
             "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069", "\ufe0f", "\U000e0061"]
SPACES = [" ", "  ", "      ", "\t", "\n", "\r\n", "\v", "\f", "\u0085", "\u00a0", "\u1680", "\u2000",
          "\u2003", "\u2009", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"]
SPECIAL = ["[MASK]", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "<mask>", "<s>", "</s>", "<pad>", "<unk>",
           "[mask]", "[ MASK ]", "[MASK", "MASK]", "<MASK>", "< mask >", "{mask}", "{text}", "##s",
           "▁the", "Ġthe", "[unused1]", "|||MAIL|||", "<|endoftext|>", "[[MASK]]", "<<s>>"]
MATHS = ["𝐆𝐫𝐞𝐚𝐭", "𝔤𝔯𝔢𝔞𝔱", "𝕘𝕣𝕖𝕒𝕥", "ｇｒｅａｔ", "ⓖⓡⓔⓐⓣ", "x²", "½", "Ⅷ", "㎞", "∑∫√", "ℵ₀", "™", "１２３"]
PRIVATE = ["\ue000", "\uf8ff", "\U000f0000", "\U0010fffd", "\ufffd", "\ufffe", "\uffff", "\u0378"]
MARKS = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + list("–—…“”‘’«»¿¡。、！？・‽※§¶€£¥₿")
CONTRACTIONS = ["don't", "DON'T", "isn’t", "we'll", "'tis", "rock'n'roll", "``quoted''", "o'clock's"]
NUMBERS = ["0", "007", "3.14", "1,000,000", "1e-5", "19.99", "٣", "²", "0x1F", "12:30", "+1-800"]

GROUPS = [list(ACCENTS), EMOJI, list(CJK), HANGUL, RIGHT_TO_LEFT, INDIC, CONTROL, INVISIBLE, SPACES,
          SPECIAL, MATHS, PRIVATE, MARKS, CONTRACTIONS, NUMBERS]


def odd_strings():
    rng = random.Random(4)
    words = sorted({word for sentence in REVIEWS + ELSEWHERE for word in sentence.split()})
    groups = GROUPS + [words]
    strings = [[""], *([piece] for group in groups for piece in group), *long_strings(words)]
    makers = [mixed, alike, composed, zalgo, cased, any_characters]
    while len(strings) < COUNT:
        maker = makers[len(strings) % len(makers)]
        strings.append([maker(rng, groups, words)])
    assert len(strings) == COUNT, len(strings)
    return strings


def long_strings(words):
    """Very long words, runs of punctuation, and texts."""
    repeated = ["a", "great", "é", "e\u0301", "这", "가", "ภ", "😀", "👍🏽", "\u0301", "!", ".", "?!", "[MASK]",
                "<mask>", " ", "\u00a0", "\n", "\0", "\u200d", "Ġ", "▁", "##", "-", "'", "it was ", "ﷺ",
                "x²", "1", "İ", "ſ", "\U0010fffd"]
    for piece in repeated:
        for count in (2, 99, 100, 101, 1500):
            yield [[piece, count]]
            yield ["so ", [piece, count], " great"]
    yield [[" ".join(words) + " ", 5]]


def mixed(rng, groups, words):
    """Pieces of every kind with and without spaces between."""
    pieces = [rng.choice(rng.choice(groups)) for _ in range(rng.randint(1, 9))]
    return rng.choice(["", " ", " "]).join(pieces)


def alike(rng, groups, words):
    """Pieces of one kind among words."""
    group = rng.choice(groups)
    pieces = [rng.choice(rng.choice([group, words])) for _ in range(rng.randint(2, 12))]
    return rng.choice([" ", "", "\u00a0"]).join(pieces)


def composed(rng, groups, words):
    """A mixture in one of Unicode's four normal forms."""
    return unicodedata.normalize(rng.choice(["NFC", "NFD", "NFKC", "NFKD"]),
                                 mixed(rng, groups, words) + rng.choice(ACCENTS))


def zalgo(rng, groups, words):
    """Combining marks after every letter, and alone."""
    text = " ".join(rng.choices(words, k=rng.randint(1, 4)))
    return "".join(letter + "".join(rng.choices(COMBINING, k=rng.randint(0, 3))) for letter in text)


def cased(rng, groups, words):
    change = rng.choice([str.upper, str.lower, str.title, str.swapcase])
    return change(" ".join(rng.choices(words + list(ACCENTS), k=rng.randint(1, 8))))


def any_characters(rng, groups, words):
    """Any code points but surrogates, which are no characters."""
    codes = [rng.choice([rng.randrange(0x500), rng.randrange(0x3000), rng.randrange(0x110000)])
             for _ in range(rng.randint(1, 12))]
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000)


def joined(pieces):
    return "".join(piece if isinstance(piece, str) else piece[0] * piece[1] for piece in pieces)


def token_hash(ids):
    """64-bit FNV-1a of the ids as little-endian 32-bit numbers."""
    value = 0xCBF29CE484222325
    for byte in b"".join(token.to_bytes(4, "little") for token in ids):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def write(folder, default):
    """The strings and, beside each tokenizer of ours, its ids; those of the default model here."""
    strings = odd_strings()
    lines = "".join(json.dumps(pieces) + "\n" for pieces in strings)
    (folder / "strings.jsonl").write_text(lines, encoding="utf-8")
    models = [path.parent for path in sorted(folder.glob("models/*/numbers.json"))]
    for model, target in [*((model, model / "tokens.json") for model in models),
                          (default, folder / "default-tokens.json")]:
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        # What looks like a special token in a text is text.
        tokenizer.encode_special_tokens = True
        ids = [tokenizer.encode(joined(pieces), add_special_tokens=False).ids
               for pieces in strings]
        write_ids(target, ids)
        print(f"{model.name}: {len(ids)} strings, {sum(map(len, ids))} tokens")


def write_ids(target, ids):
    rows = [f"{len(row)} {token_hash(row)}" for row in ids]
    body = {"hashes": rows, "shown": ids[:SHOWN]}
    target.write_text(json.dumps(body, separators=(",", ":")) + "\n", encoding="utf-8")
