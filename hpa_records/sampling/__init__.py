"""Folds, balancing, and the plan of an epoch. Needs only NumPy."""
