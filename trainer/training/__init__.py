"""Training and evaluation of one fold, from its newest checkpoint."""
