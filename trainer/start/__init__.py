"""The weights that a training starts from: of a run, a file or ImageNet."""
