"""One fold trained and scored, from its newest checkpoint."""
