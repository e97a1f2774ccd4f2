"""Golden numbers: what PyTorch, transformers, PEFT and tokenizers say of small random models."""
