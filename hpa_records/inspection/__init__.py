"""A dataset checked, summarised and drawn."""
