"""Drafts the description of a dataset from its table and its image files."""
