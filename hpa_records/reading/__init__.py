"""Reads batches and records of a dataset, local or at an address."""
