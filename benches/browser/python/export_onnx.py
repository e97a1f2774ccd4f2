"""Exports a work's model, with the adapter merged into it, to `model.onnx` in the work's folder.

    python export_onnx.py FOLDER

Inputs `ids` (B, T) and `masks` (B), output `probabilities` (B, L).
"""

import sys
from pathlib import Path

import torch

import work as works


class Probabilities(torch.nn.Module):
    def __init__(self, scores: works.Scores):
        super().__init__()
        self.scores = scores

    def forward(self, ids, masks):
        return self.scores(ids, masks).softmax(-1)


def main():
    folder = Path(sys.argv[1])
    work = works.description(folder)
    merged = works.model(folder).merge_and_unload()
    probabilities = Probabilities(works.Scores(merged, work["words"])).eval()
    ids, masks, _ = works.batches(work)[0]
    torch.onnx.export(
        probabilities,
        (ids, masks),
        folder / "model.onnx",
        input_names=["ids", "masks"],
        output_names=["probabilities"],
        opset_version=20,
        dynamo=True,
        external_data=False,
    )


if __name__ == "__main__":
    main()
