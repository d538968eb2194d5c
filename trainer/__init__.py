"""Training of GapNet-PL on the records that hpa_records writes."""
