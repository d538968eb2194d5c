"""Folds, expected draws of each record, the order of an epoch. NumPy alone."""
