"""The files that a fold of any kind has, written."""
