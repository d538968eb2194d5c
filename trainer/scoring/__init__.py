"""Labels and predictions to metrics, thresholds and intervals."""
