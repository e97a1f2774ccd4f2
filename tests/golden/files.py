"""Writes the models' directories: as transformers and PEFT save them, and the numbers beside."""

import json
import shutil

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from . import reference
from .architectures import MAKERS, STORED, random_model
from .vocabularies import TOKENIZERS, mask_token


def write_models(folder, names):
    for name in names or MAKERS:
        write_model(folder / name, name)
    write_variants(folder)


def write_model(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(folder, name)
    size = tokenizer.get_vocab_size()

    model = random_model(name, size)
    model.to(STORED[name]).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    def make():
        read = transformers.AutoModelForMaskedLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager")
        return read.eval()

    prompts = reference.Prompts(tokenizer, mask_token(name))
    tensors = {"logits": prompts.every_logit(make())}
    summary = {
        "versions": {"torch": torch.__version__.split("+")[0],
                     "transformers": transformers.__version__},
        "pattern": reference.PATTERN, "words": reference.WORDS, "word_ids": prompts.words,
        "max_tokens": reference.MAX_TOKENS, "texts": reference.TEXTS, "prompts": prompts.ids,
        "examples": [{"text": text, "target": target, "weight": weight}
                     for text, target, weight in reference.EXAMPLES],
        "batches": reference.BATCHES, "rank": reference.RANK, "alpha": reference.ALPHA,
        "training": reference.TRAINING, "full_training": reference.FULL_TRAINING,
    }
    for targets in ("attention", "all"):
        summary[targets], found, peft = reference.adapter_numbers(name, make, targets, prompts)
        tensors |= found
        write_adapter(folder / targets, peft)
    if name == "bert":
        summary["full"], found = reference.full_numbers(make, prompts)
        tensors |= found
    write_json(folder / "numbers.json", summary)
    save_file({key: value.contiguous() for key, value in tensors.items()},
              folder / "numbers.safetensors")
    print(f"{name}: {model.num_parameters()} parameters, {tokenizer.get_vocab_size()} tokens")


def make_tokenizer(folder, name):
    """The one that is there, or a new one: training breaks ties at random."""
    path = folder / "tokenizer.json"
    if not path.exists():
        TOKENIZERS[name]().save(str(path), pretty=False)
    return Tokenizer.from_file(str(path))


def write_adapter(folder, peft):
    peft.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["target_modules"] = sorted(config["target_modules"])  # a set, in no fixed order
    config["base_model_name_or_path"] = folder.parent.name
    write_json(path, config)


def write_variants(folder):
    """The same values in the other forms in which models come."""
    bert = load_file(folder / "bert" / "model.safetensors")
    old = {old_name(key): value.half() for key, value in bert.items()}
    copy_config(folder / "bert", folder / "bert-2018")
    save_file(old, folder / "bert-2018" / "model.safetensors", metadata={"format": "pt"})

    model = transformers.AutoModelForMaskedLM.from_pretrained(
        folder / "electra", dtype=torch.float16)
    copy_config(folder / "electra", folder / "electra-sharded")
    model.save_pretrained(folder / "electra-sharded", max_shard_size="20KB")
    (folder / "electra-sharded" / "generation_config.json").unlink(missing_ok=True)


    config = json.loads((folder / "modernbert" / "config.json").read_text(encoding="utf-8"))
    del config["layer_types"]
    rope = config.pop("rope_parameters")
    config["global_rope_theta"] = rope["full_attention"]["rope_theta"]
    config["local_rope_theta"] = rope["sliding_attention"]["rope_theta"]
    write_json(folder / "modernbert" / "config-2024.json", config)


def old_name(name):
    """Without the prefix, and with the names that TensorFlow gave."""
    name = name.removeprefix("bert.")
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta")


def copy_config(source, target):
    target.mkdir(exist_ok=True)
    for file in ("config.json", "tokenizer.json"):
        shutil.copyfile(source / file, target / file)


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n",
                    encoding="utf-8")
