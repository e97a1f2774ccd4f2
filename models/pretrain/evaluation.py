"""Step `evaluate`: what an exported model knows before it has seen one label.

A text is followed by a prompt, and the label words are compared at the mask. Labels of the test
sample are used to count hits only; calibration reads unlabelled texts of the training part.
"""

import csv
import json
import random
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BertForMaskedLM

BATCH = 32


@dataclass
class Task:
    folder: str
    prompt: str
    # Of each label, its words; the first one alone is the uncalibrated answer.
    words: dict


SENTIMENT = {
    "negative": ["terrible", "bad", "awful", "boring"],
    "positive": ["great", "good", "excellent", "wonderful"],
}
TOPIC = {
    "world": ["world", "government"],
    "sports": ["sports", "team"],
    "business": ["business", "company"],
    "technology": ["technology", "software"],
}
TASKS = [
    Task("sst2", "it was [MASK] .", SENTIMENT),
    Task("imdb", "it was [MASK] .", SENTIMENT),
    Task("mr", "it was [MASK] .", SENTIMENT),
    Task("agnews", "this is about [MASK] .", TOPIC),
]


class Scorer:
    """Logits of chosen words at the mask of a prompt behind a text."""

    def __init__(self, folder, max_tokens):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.model = BertForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.max_tokens = max_tokens

    def encode(self, text, prompt):
        return self.framed(self.tokenizer.encode(text, add_special_tokens=False).ids, prompt)

    def framed(self, body, prompt):
        """[CLS], the beginning of the tokens, the whole prompt, [SEP]."""
        cls, *asked, sep = self.tokenizer.encode(prompt).ids
        return [cls, *body[:self.max_tokens - len(asked) - 2], *asked, sep]

    def scores(self, texts, prompt, words):
        """Logits of the words for each text: (texts, words)."""
        return self.scores_of([self.encode(text, prompt) for text in texts], words)

    @torch.inference_mode()
    def scores_of(self, rows, words):
        """Logits of the words at the last mask of each row of token ids: (rows, words)."""
        mask = self.tokenizer.token_to_id("[MASK]")
        word_ids = [self.tokenizer.token_to_id(word) for word in words]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        scores = np.zeros((len(rows), len(words)), np.float32)
        for begin in range(0, len(order), BATCH):
            chosen = order[begin:begin + BATCH]
            longest = max(len(rows[index]) for index in chosen)
            ids = torch.zeros((len(chosen), longest), dtype=torch.long)
            attention = torch.zeros_like(ids)
            for row, index in enumerate(chosen):
                ids[row, :len(rows[index])] = torch.tensor(rows[index])
                attention[row, :len(rows[index])] = 1
            hidden = self.model.bert(input_ids=ids, attention_mask=attention).last_hidden_state
            # The prompt's mask is the last one, should a text contain the word [MASK].
            at = longest - 1 - (ids.flip(1) == mask).int().argmax(1)
            logits = self.model.cls(hidden[torch.arange(len(chosen)), at])
            scores[chosen] = logits[:, word_ids].numpy()
        return scores


def read_rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def sample(rows, count, seed):
    return random.Random(seed).sample(rows, min(count, len(rows)))


def label_scores(scores, groups):
    """Mean logit of each label's words: (texts, labels)."""
    ends = np.cumsum([len(group) for group in groups])
    return np.stack([part.mean(1) for part in np.split(scores, ends[:-1], axis=1)], axis=1)


def calibrate(scores, unlabelled):
    """Scores relative to those of unlabelled texts, so that no label is preferred beforehand."""
    if scores.shape[1] == 2:
        # The median of the difference is the threshold that half of the texts lie above.
        return scores - np.array([0, np.median(unlabelled[:, 1] - unlabelled[:, 0])])
    return scores - unlabelled.mean(0)


def accuracy(scores, gold):
    return round(float((scores.argmax(1) == gold).mean()), 4)


def evaluate_task(scorer, task, data, count, seed):
    labels, groups = list(task.words), list(task.words.values())
    words = [word for group in groups for word in group]
    test = sample(read_rows(data / task.folder / "test.csv"), count, seed)
    unlabelled = [text for text, _ in
                  sample(read_rows(data / task.folder / "train.csv"), count, seed)]
    gold = np.array([labels.index(label) for _, label in test])

    found = scorer.scores([text for text, _ in test], task.prompt, words)
    known = scorer.scores(unlabelled, task.prompt, words)
    firsts = np.cumsum([0] + [len(group) for group in groups[:-1]])
    one, one_level = found[:, firsts], known[:, firsts]
    every, level = label_scores(found, groups), label_scores(known, groups)
    return {
        "task": task.folder, "prompt": "x " + task.prompt, "texts": len(test),
        "max_tokens": scorer.max_tokens,
        "one_word_uncalibrated": accuracy(one, gold),
        "one_word_calibrated": accuracy(calibrate(one, one_level), gold),
        "all_words_uncalibrated": accuracy(every, gold),
        "all_words_calibrated": accuracy(calibrate(every, level), gold),
    }


def evaluate(args):
    torch.set_num_threads(args.threads)
    scorer = Scorer(args.model, args.max_tokens)
    for task in TASKS:
        if (args.data / task.folder / "test.csv").exists():
            print(json.dumps(evaluate_task(scorer, task, args.data, args.sample, args.seed)),
                  flush=True)
