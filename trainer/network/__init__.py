"""A configuration to a network, and what a network looks like."""
