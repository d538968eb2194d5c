"""What predicts: the models of a run, or of an exported folder."""
