"""Reading from an address whose requests have a latency."""
