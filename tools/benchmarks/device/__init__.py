"""Everything that a machine with a GPU is asked for, measured in one call."""
