"""Batches and single records of a dataset, here or at an address."""
