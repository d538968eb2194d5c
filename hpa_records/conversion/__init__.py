"""Converts checked samples to the shards of a dataset; resumable."""
