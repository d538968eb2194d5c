"""Checks, summaries and figures of a dataset."""
