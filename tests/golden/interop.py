"""`python -m golden.interop FOLDER`: PEFT and transformers use what lpfl wrote, and the reverse.

Below FOLDER every model has a folder of its own: `base`, and of lpfl's making `ours`, an adapter,
and `merged`, a model with that adapter merged. What they compute at the masks goes to
`answer.json`; an adapter of PEFT's making goes to `theirs`.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM

from . import reference
from .vocabularies import mask_token


def load(folder):
    model, report = AutoModelForMaskedLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    wrong = {what: sorted(names) for what, names in report.items() if names}
    assert not wrong, f"{folder}: {wrong}"
    return model.eval()


def answer(folder):
    name = folder.name
    tokenizer = Tokenizer.from_file(str(folder / "base" / "tokenizer.json"))
    prompts = reference.Prompts(tokenizer, mask_token(name))
    ours = PeftModel.from_pretrained(load(folder / "base"), folder / "ours").eval()
    theirs = reference.adapted(name, load(folder / "base"), "all", rslora=True)
    theirs.save_pretrained(folder / "theirs")
    logits = {"ours": prompts.every_logit(ours),
              "merged": prompts.every_logit(load(folder / "merged")),
              "theirs": prompts.every_logit(theirs)}
    if (folder / "top").exists():
        top = PeftModel.from_pretrained(load(folder / "base"), folder / "top").eval()
        logits["top"] = prompts.every_logit(top)
    text = json.dumps({what: rows.flatten().tolist() for what, rows in logits.items()})
    (folder / "answer.json").write_text(text, encoding="utf-8")


def main():
    torch.set_num_threads(1)
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        answer(folder)


main()
