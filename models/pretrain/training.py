"""Step `train`: AdamW with a warm-up, a stable phase and a final decay, in checkpoints.

`checkpoint.pt` is the last state and `stable.pt` the last one before the decay: from the latter, a
longer run goes on as if it had never decayed.
"""

import json
import os
import signal
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from transformers import BertForMaskedLM

from .model import masked_loss, new_model
from .windows import Windows

# Most windows are short: there plain products made the whole of training 1.2 times faster than the
# fused kernel, which spares the memory of the scores.
ATTENTION = "eager"


@dataclass
class Settings:
    steps: int = 4000
    seed: int = 1
    peak: float = 1.5e-3
    warmup: int = 150
    decay: float = 0.35
    floor: float = 0.03
    clip: float = 1.0
    weight_decay: float = 0.01
    precision: str = "bf16"
    threads: int = 2
    checkpoint_seconds: float = 300.0
    log_steps: int = 50

    @property
    def decay_start(self):
        return int(self.steps * (1 - self.decay))

    def rate(self, step):
        """The learning rate at a step: warm-up, constant, then linear down to floor x peak."""
        if step < self.warmup:
            return self.peak * (step + 1) / self.warmup
        if step < self.decay_start:
            return self.peak
        progress = (step - self.decay_start) / max(1, self.steps - self.decay_start)
        return self.peak * (1 - (1 - self.floor) * progress)


def new_optimizer(model, settings):
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay},
              {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.peak, betas=(0.9, 0.98), fused=True)


def save(path, model, optimizer, step, tokens, settings):
    """Writes a checkpoint whole or not at all. Batches depend on seed and step alone and nothing
    else is drawn while training, so these two are all the randomness there is to keep."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
             "tokens": tokens, "settings": asdict(settings)}
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def check_continues(path, state, settings):
    """Refuses to go on with other batches, or with another rate amid the decay."""
    made = Settings(**state["settings"])
    if made.seed != settings.seed:
        raise SystemExit(f"{path} was made with --seed {made.seed}, not {settings.seed}: "
                         "use that seed or another --work")
    if state["step"] > made.decay_start and made.steps != settings.steps:
        raise SystemExit(f"{path} is in its decay, so its --steps {made.steps} cannot become "
                         f"{settings.steps}: start another --work with --from stable.pt")


def first_model(work, settings, start_from):
    """An exported model to go on from, or one that has seen nothing but co-occurrences."""
    if start_from and start_from.is_dir():
        return BertForMaskedLM.from_pretrained(start_from, dtype=torch.float32)
    start = np.load(work / "embeddings.npz")
    return new_model(start["vectors"], start["bias"], settings.seed)


def train(work, settings, start_from=None):
    torch.set_num_threads(settings.threads)
    windows = Windows(work, settings.seed)
    model = first_model(work, settings, start_from)
    model.set_attn_implementation(ATTENTION)
    model.train()
    optimizer = new_optimizer(model, settings)

    last, stable = work / "checkpoint.pt", work / "stable.pt"
    step = tokens = 0
    source = last if last.exists() else start_from
    if source and source.is_file():
        state = load(source)
        check_continues(source, state, settings)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, tokens = state["step"], state["tokens"]

    stopping = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.append(True))
    losses, seen, since, saved = [], 0, time.monotonic(), time.monotonic()
    with open(work / "log.jsonl", "a", encoding="utf-8") as log:
        while step < settings.steps and not stopping:
            batch = windows.batch(step)
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step)
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16"):
                loss = masked_loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()

            step += 1
            count = int(batch.attention.sum())
            tokens, seen = tokens + count, seen + count
            losses.append(loss.item())
            if step % settings.log_steps == 0 or step == settings.steps:
                now = time.monotonic()
                line = json.dumps({"step": step, "tokens": tokens,
                                   "loss": round(float(np.mean(losses)), 4),
                                   "lr": round(settings.rate(step - 1), 7),
                                   "tokens_per_second": round(seen / (now - since))})
                print(line, flush=True)
                log.write(line + "\n")
                log.flush()
                losses, seen, since = [], 0, now
            if step == settings.decay_start:
                save(stable, model, optimizer, step, tokens, settings)
            if time.monotonic() - saved > settings.checkpoint_seconds:
                save(last, model, optimizer, step, tokens, settings)
                saved = time.monotonic()
    save(last, model, optimizer, step, tokens, settings)
