"""Several processes that serve the same ports as one gateway."""
