"""Training of sequence models by the generated kernels: batches, optimisers, checkpoints."""
