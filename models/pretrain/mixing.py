"""Step `mix`: the mean of the weights of two exported models, one trained further from the other.

Wortsman et al., "Robust fine-tuning of zero-shot models" (2022, arXiv 2109.01903): between a model
and what further training made of it, the mean often keeps what the one knew and the other learned.
"""

import json
import shutil

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"
UNCHANGED = ["config.json", "tokenizer.json", "tokenizer_config.json"]


def mix(first, second, share, out):
    """Writes (1 - share) of the first model's weights plus share of the second's."""
    for name in UNCHANGED:
        if (first / name).read_bytes() != (second / name).read_bytes():
            raise SystemExit(f"{first / name} and {second / name} differ: these models do not mix")
    weights = [load_file(folder / WEIGHTS) for folder in (first, second)]
    mixed = {name: torch.lerp(one.float(), weights[1][name].float(), share).to(one.dtype)
             for name, one in weights[0].items()}
    out.mkdir(parents=True, exist_ok=True)
    save_file(mixed, out / WEIGHTS, metadata={"format": "pt"})
    for name in UNCHANGED:
        shutil.copy(first / name, out / name)
    print(json.dumps({"tensors": len(mixed), "share": share}))
