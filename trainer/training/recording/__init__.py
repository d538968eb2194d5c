"""The files, events and messages of a fold in training."""
