"""Commands on runs: flags → one library call → one closing line."""
