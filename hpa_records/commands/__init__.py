"""Commands on datasets: flags → one library call → one closing line."""
