"""Descriptions of datasets: their tables, image files, channels and classes."""
