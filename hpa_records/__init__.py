"""Human Protein Atlas images and labels to TFRecords, and back to batches."""
