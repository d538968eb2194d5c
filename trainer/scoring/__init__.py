"""Labels and scores to metrics, thresholds and intervals."""
