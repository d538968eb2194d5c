"""From checked samples to shards and a finished dataset; resumable."""
