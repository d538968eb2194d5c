"""New images to probabilities and labels."""
