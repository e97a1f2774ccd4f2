"""Makes the default masked language model from public text, on a CPU."""
