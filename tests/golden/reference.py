"""Logits, losses, gradients and training by PyTorch and PEFT."""

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from torch.nn.utils import clip_grad_norm_
from transformers import get_linear_schedule_with_warmup

from .architectures import TARGETS

PATTERN = "{text} it was {mask} ."
WORDS = ["terrible", "great"]
MAX_TOKENS = 60

TEXTS = [
    "The film was long and slow .",
    "good",
    "We had a very good time in this small room , and the children laughed at every joke .",
    "Her voice was great , although the sound in the hall was not !",
    "It cost 19.99 , which is too much .",
    "Le café était à côté de l'église",
    "nobody",
    "",
]

# (text, probability of each label, weight): gold, soft and without any weight.
EXAMPLES = [
    (0, [1.0, 0.0], 1.0), (1, [0.0, 1.0], 1.0), (2, [0.3, 0.7], 0.5), (3, [0.0, 1.0], 2.0),
    (4, [0.9, 0.1], 0.25), (5, [0.5, 0.5], 0.75), (6, [1.0, 0.0], 1.0), (7, [0.2, 0.8], 0.0),
]

# The examples of ten steps.
BATCHES = [[0, 1, 2, 3], [4, 5, 6, 7], [1, 3, 5], [0, 2, 4, 6], [7, 0], [3, 6, 1], [2], [5, 4, 0],
           [6, 2, 1, 3], [0, 5]]

RANK, ALPHA = 3, 7.0
TRAINING = {"learning_rate": 0.004, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999,
            "epsilon": 1e-8, "warmup": 0.2}
FULL_TRAINING = TRAINING | {"learning_rate": 0.001}


class Prompts:
    """The texts in the pattern, as the tokenizer splits the filled-in string."""

    def __init__(self, tokenizer, mask):
        filled = [PATTERN.format(text=text, mask=mask) for text in TEXTS]
        self.ids = [tokenizer.encode(text.strip()).ids for text in filled]
        self.mask = tokenizer.token_to_id(mask)
        assert all(ids.count(self.mask) == 1 and len(ids) < MAX_TOKENS for ids in self.ids)
        # A word in the mask's place has a space before it.
        self.words = [self.one_token(tokenizer, word) for word in WORDS]

    @staticmethod
    def one_token(tokenizer, word):
        ids = tokenizer.encode(f" {word}", add_special_tokens=False).ids
        assert len(ids) == 1, f"{word} is not one token: {ids}"
        return ids[0]

    def logits(self, model, rows):
        """(rows, words): the label words' logits at the masks of one padded batch."""
        chosen = [self.ids[row] for row in rows]
        longest = max(map(len, chosen))
        pad = model.config.pad_token_id
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in chosen])
        seen = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in chosen])
        places = torch.tensor([row.index(self.mask) for row in chosen])
        logits = model(input_ids=ids, attention_mask=seen).logits
        return logits[torch.arange(len(chosen)), places][:, self.words]

    def loss(self, model, examples):
        """Σ w · CE / Σ w"""
        rows, targets, weights = zip(*(EXAMPLES[index] for index in examples))
        chances = torch.log_softmax(self.logits(model, rows), dim=1)
        entropies = -(torch.tensor(targets) * chances).sum(dim=1)
        weights = torch.tensor(weights)
        # A batch whose weights are all zero has loss zero.
        return (weights * entropies).sum() / weights.sum().clamp(min=1e-30)

    def every_logit(self, model):
        with torch.no_grad():
            return self.logits(model, range(len(TEXTS)))


def adapted(name, model, targets, rslora=False):
    """The model with random LoRA matrices: with B zero, A would have no gradient."""
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS[name][targets],
                        lora_dropout=0.0, bias="none", use_rslora=rslora,
                        base_model_name_or_path=name)
    peft = get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(sum(f"{name} {targets}".encode()))
    with torch.no_grad():
        for parameter_name, parameter in sorted(peft.named_parameters()):
            if "lora_" in parameter_name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return peft


def gradients(model):
    """Of every trained tensor, under the names that PEFT and transformers store them by."""
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found[name.replace(".default.", ".")] = parameter.grad.clone()
    return found


def loss_and_gradients(model, prompts):
    model.zero_grad()
    loss = prompts.loss(model, range(len(EXAMPLES)))
    loss.backward()
    result = loss.item(), gradients(model)
    model.zero_grad()
    return result


def clip_limit(model, parameters, prompts):
    """A limit that some of the ten steps exceed and others do not."""
    norms = []
    for batch in BATCHES:
        model.zero_grad()
        prompts.loss(model, batch).backward()
        norms.append(clip_grad_norm_(parameters, float("inf")).item())
    return round(0.75 * sum(norms) / len(norms), 2)


def ten_steps(model, prompts, settings):
    """Losses before each step, gradient norms before clipping, and the rates used."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings["learning_rate"], betas=(settings["beta1"], settings["beta2"]),
        eps=settings["epsilon"], weight_decay=settings["weight_decay"])
    warmup = int(settings["warmup"] * len(BATCHES))
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, len(BATCHES))
    limit = clip_limit(model, parameters, prompts)
    log = {"clip_norm": limit, "losses": [], "norms": [], "rates": []}
    for batch in BATCHES:
        optimizer.zero_grad()
        loss = prompts.loss(model, batch)
        loss.backward()
        norm = clip_grad_norm_(parameters, limit)
        log["losses"].append(loss.item())
        log["norms"].append(norm.item())
        log["rates"].append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    clipped = sum(norm > limit for norm in log["norms"])
    assert 0 < clipped < len(BATCHES), f"every step or none was clipped: {log['norms']}"
    return log


def adapter_numbers(name, make, targets, prompts):
    """Everything about one choice of targets: numbers, tensors, and the adapter as PEFT has it."""
    peft = adapted(name, make(), targets)
    tensors = {f"{targets}.logits": prompts.every_logit(peft)}
    loss, found = loss_and_gradients(peft, prompts)
    tensors |= {f"{targets}.gradient.{key}": value for key, value in found.items()}
    start = {key: value.clone() for key, value in get_peft_model_state_dict(peft).items()}
    assert start.keys() == found.keys(), "PEFT stores what it trains"
    tensors |= {f"{targets}.start.{key}": value for key, value in start.items()}
    log = ten_steps(peft, prompts, TRAINING)
    end = get_peft_model_state_dict(peft)
    tensors |= {f"{targets}.trained.{key}": value.clone() for key, value in end.items()}
    merged = adapted(name, make(), targets).merge_and_unload()
    tensors[f"{targets}.merged_logits"] = prompts.every_logit(merged)
    scaled = adapted(name, make(), targets, rslora=True)
    tensors[f"{targets}.rslora_logits"] = prompts.every_logit(scaled)
    return {"loss": loss, **log}, tensors, adapted(name, make(), targets)


def full_numbers(make, prompts):
    """The same with every parameter of the model trained."""
    model = make()
    loss, found = loss_and_gradients(model, prompts)
    tensors = {f"full.gradient.{key}": value for key, value in found.items()}
    log = ten_steps(model, prompts, FULL_TRAINING)
    trained = dict(model.named_parameters())
    tensors |= {f"full.trained.{key}": value.detach().clone() for key, value in trained.items()}
    return {"loss": loss, **log}, tensors
