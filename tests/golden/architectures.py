"""Small random models of every architecture, with sizes that leave remainders in vector code."""

import torch
import transformers as hf

SIZES = {
    "hidden_size": 40, "num_attention_heads": 4, "intermediate_size": 72,
    "num_hidden_layers": 2, "max_position_embeddings": 64, "type_vocab_size": 2,
}

BOTH_WAYS = ["attention.output.dense", "intermediate.dense", "output.dense"]
BERT_TARGETS = {
    "attention": ["query", "value"],
    "all": ["query", "key", "value", *BOTH_WAYS],
}

# What LoRA adapts, by PEFT's names of modules: query and value, and every projection of a layer.
# ModernBERT has query, key and value in one module.
TARGETS = {
    "bert": BERT_TARGETS,
    "roberta": BERT_TARGETS,
    "electra": BERT_TARGETS,
    "distilbert": {
        "attention": ["q_lin", "v_lin"],
        "all": ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"],
    },
    "albert": {
        "attention": ["query", "value"],
        "all": ["query", "key", "value", "attention.dense", "ffn", "ffn_output"],
    },
    "modernbert": {
        "attention": ["Wqkv"],
        "all": ["Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"],
    },
}

# The number format in which each model is stored; the values are exact in all of them.
STORED = {
    "bert": torch.float32, "roberta": torch.float16, "distilbert": torch.bfloat16,
    "electra": torch.float16, "albert": torch.float32, "modernbert": torch.bfloat16,
}


def bert(size):
    return hf.BertForMaskedLM(hf.BertConfig(vocab_size=size, **SIZES))


def roberta(size):
    """Positions count from pad_token_id + 1 = 2, so the table has two rows more."""
    sizes = SIZES | {"max_position_embeddings": 66, "type_vocab_size": 1}
    return hf.RobertaForMaskedLM(hf.RobertaConfig(
        vocab_size=size, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        **sizes))


def distilbert(size):
    return hf.DistilBertForMaskedLM(hf.DistilBertConfig(
        vocab_size=size, dim=40, n_heads=4, hidden_dim=72, n_layers=2, max_position_embeddings=64))


def electra(size):
    """The generator, whose embeddings are narrower than its layers."""
    return hf.ElectraForMaskedLM(hf.ElectraConfig(vocab_size=size, embedding_size=24, **SIZES))


def albert(size):
    """Three layers that are one and the same, and embeddings narrower than they."""
    sizes = SIZES | {"num_hidden_layers": 3}
    return hf.AlbertForMaskedLM(hf.AlbertConfig(
        vocab_size=size, embedding_size=24, hidden_act="gelu_new", **sizes))


def modernbert(size):
    """The first and the last layer look everywhere, those between at four neighbours a side."""
    return hf.ModernBertForMaskedLM(hf.ModernBertConfig(
        vocab_size=size, hidden_size=40, num_attention_heads=4, intermediate_size=72,
        num_hidden_layers=4, max_position_embeddings=64, local_attention=8,
        global_attn_every_n_layers=3, pad_token_id=3, bos_token_id=1, eos_token_id=2,
        cls_token_id=1, sep_token_id=2))


MAKERS = {maker.__name__: maker for maker in (bert, roberta, distilbert, electra, albert, modernbert)}


def random_model(name, size):
    """The architecture with weights large enough that every one of them shows in the logits."""
    model = MAKERS[name](size)
    generator = torch.Generator().manual_seed(sum(name.encode()))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(weights(parameter_name, parameter.shape, generator))
    return model.eval()


def weights(name, shape, generator):
    values = torch.randn(shape, generator=generator)
    if name.endswith("bias"):
        values = 0.2 * values
    elif "norm" in name.lower():
        values = 1.0 + 0.3 * values
    elif "embedding" in name and "hidden_mapping" not in name:
        values = 0.15 * values
    else:
        values = 0.2 * values
    return exact(values)


def exact(values):
    """Rounded to what f32, f16 and bf16 hold alike."""
    values = values.to(torch.bfloat16).float()
    return torch.where(values.abs() < 2.0**-14, torch.zeros(()), values)
