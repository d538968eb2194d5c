"""Synthetic samples for the demo and the tests."""
