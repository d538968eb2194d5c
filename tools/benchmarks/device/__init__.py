"""All measurements that need a GPU, made in one call."""
