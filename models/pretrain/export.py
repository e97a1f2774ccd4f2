"""Step `export`: the last checkpoint as a Hugging Face directory in f16, checked by reading it back.

The directory's own files, such as a model card, stay as they are.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import BertForMaskedLM

from .corpus import VOCABULARY_SIZE
from .model import configuration
from .training import load
from .words import LABEL_WORDS

# The decoder is the word embedding, and its bias is `cls.predictions.bias`.
TIED = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}


def write_directory(state, tokenizer_file, folder):
    tensors = {name: tensor.half().contiguous()
               for name, tensor in state["model"].items() if name not in TIED}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    config = {name: value for name, value in configuration().to_diff_dict().items()
              if value is not None}
    config |= {"dtype": "float16", "position_embedding_type": "absolute"}
    write_json(folder / "config.json", config)

    shutil.copyfile(tokenizer_file, folder / "tokenizer.json")
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config["max_position_embeddings"],
        "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    })


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


@torch.no_grad()
def check_directory(state, folder):
    """What was written says what the checkpoint says, and every label word is one token."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == VOCABULARY_SIZE
    for word in LABEL_WORDS:
        tokens = tokenizer.encode(word).tokens
        assert tokens == ["[CLS]", word, "[SEP]"], f"{word} is not one token: {tokens}"

    original = BertForMaskedLM(configuration()).eval()
    original.load_state_dict(state["model"])
    written = BertForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([tokenizer.encode("the plot is thin . it was [MASK] .").ids])
    difference = (original(ids).logits - written(ids).logits).abs().max().item()
    assert difference < 0.1, f"logits differ by {difference}"
    return difference


def export(work, out):
    state = load(work / "checkpoint.pt")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as temporary:
        folder = Path(temporary)
        write_directory(state, work / "tokenizer.json", folder)
        difference = check_directory(state, folder)
        size = (folder / "model.safetensors").stat().st_size
        for file in sorted(folder.iterdir()):
            file.chmod(0o644)
            os.replace(file, out / file.name)
    print(json.dumps({"step": state["step"], "tokens": state["tokens"], "bytes": size,
                      "largest_logit_difference": round(difference, 4)}))
