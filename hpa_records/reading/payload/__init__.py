"""Where the pixels of a batch come from: shards, memory or image files."""
