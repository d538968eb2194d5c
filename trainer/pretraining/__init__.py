"""Self-supervised pre-training of a network's layers before its logits."""
