"""What a training step minimizes, and how it changes the weights."""
