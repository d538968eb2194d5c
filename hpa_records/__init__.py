"""Human Protein Atlas images and labels to TFRecords, and back to batches."""

__version__ = '0.1.0'
