"""Training methods: what is learned from which pictures."""
