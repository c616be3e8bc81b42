"""From shards to batches: which samples, in which order, read and decoded."""
