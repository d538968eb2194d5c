"""The output folder of a conversion: its files, locks and settings."""
