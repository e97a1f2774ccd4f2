"""PyTorch and PEFT at a work: answers each line of JSON on standard input with another one.

    python peft_engine.py FOLDER

An order has `op` (probe or run), `kind` (INFER or TRAIN), `steps` and `threads`. `probe` answers
with what the steps came to, probabilities or losses; `run` with the seconds that they took. Every
order starts from the first adapter.
"""

import copy
import json
import sys
import time
from pathlib import Path

import torch

import work as works


class Engine:
    def __init__(self, folder: Path):
        work = works.description(folder)
        self.training = work["training"]
        self.batches = works.batches(work)
        peft = works.model(folder)
        merged = copy.deepcopy(peft).merge_and_unload()
        self.asked = works.Scores(merged, work["words"]).eval()
        # Its base model holds the adapter; dropout is zero everywhere.
        self.trained = works.Scores(peft.base_model.model, work["words"]).train()
        self.adapter = [p for p in peft.parameters() if p.requires_grad]
        self.first = [p.detach().clone() for p in self.adapter]

    def reset(self):
        with torch.no_grad():
            for parameter, first in zip(self.adapter, self.first):
                parameter.copy_(first)
        settings = self.training
        self.optimizer = torch.optim.AdamW(
            self.adapter,
            lr=settings["learning_rate"],
            betas=(settings["beta1"], settings["beta2"]),
            eps=settings["epsilon"],
            weight_decay=settings["weight_decay"],
        )

    def infer(self, number: int) -> list[float]:
        ids, masks, _ = self.batches[number]
        with torch.inference_mode():
            return self.asked(ids, masks).softmax(-1).flatten().tolist()

    def train(self, number: int) -> list[float]:
        ids, masks, labels = self.batches[number]
        self.optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(self.trained(ids, masks), labels)
        loss.backward()
        self.optimizer.step()
        return [loss.item()]

    def answer(self, order: dict):
        torch.set_num_threads(order["threads"])
        self.reset()
        step = self.train if order["kind"] == "TRAIN" else self.infer
        start = time.perf_counter()
        numbers = []
        for index in range(order["steps"]):
            numbers += step(index % len(self.batches))
        return numbers if order["op"] == "probe" else time.perf_counter() - start


def main():
    engine = Engine(Path(sys.argv[1]))
    for line in sys.stdin:
        print(json.dumps(engine.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
