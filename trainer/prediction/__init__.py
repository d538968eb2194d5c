"""Predictions and labels for new images."""
