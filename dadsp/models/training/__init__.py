"""Training a network in stages: batches, pre-training, states, processes."""
