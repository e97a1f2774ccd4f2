"""A work's folder as PyTorch reads it: model, adapter, batches, and the label words' scores."""

import json
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import BertConfig, BertForMaskedLM


def description(folder: Path) -> dict:
    """`work.json`"""
    return json.loads((folder / "work.json").read_text())


def model(folder: Path) -> PeftModel:
    """The model with the adapter beside it, both from the folder."""
    base = BertForMaskedLM(BertConfig.from_pretrained(folder))
    tensors = load_file(folder / "model.safetensors")
    missing, unexpected = base.load_state_dict(tensors, strict=False)
    tied = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    if unexpected or set(missing) - tied:
        raise ValueError(f"weights: missing {missing}, unexpected {unexpected}")
    base.tie_weights()
    return PeftModel.from_pretrained(base, folder, is_trainable=True)


class Scores(torch.nn.Module):
    """The label words' scores at the mask, and no other words' or positions'.

    Shapes: ids (B, T), masks (B) -> (B, L)
    """

    def __init__(self, bert: BertForMaskedLM, words: list[list[int]]):
        super().__init__()
        if any(len(label) != 1 for label in words):
            raise ValueError(f"one word a label is expected, got {words}")
        self.bert = bert
        self.register_buffer("words", torch.tensor([label[0] for label in words]))

    def forward(self, ids, masks):
        hidden = self.bert.bert(input_ids=ids).last_hidden_state
        at_mask = hidden[torch.arange(ids.shape[0]), masks]
        head = self.bert.cls.predictions
        table = self.bert.get_output_embeddings()
        rows = table.weight[self.words]
        return head.transform(at_mask) @ rows.T + table.bias[self.words]


def batches(work: dict) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Ids (B, T), masks (B) and labels (B) of each batch."""
    def column(batch, name):
        return torch.tensor([prompt[name] for prompt in batch["prompts"]])

    return [
        (column(batch, "ids"), column(batch, "mask"), column(batch, "label"))
        for batch in work["batches"]
    ]
